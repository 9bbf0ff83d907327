# The steps of installing and removing that are more than files. scripts/install and scripts/uninstall source this file,
# scripts/package puts it into the maintainer scripts of the Debian package: there is one version of each step.
# shellcheck shell=sh

martlet_units='martlet-control.service martletd.service'

martlet_say() { printf '%s\n' "$*"; }

# Is this host run by systemd (and not a chroot)?
martlet_systemd() { [ -d /run/systemd/system ]; }

martlet_users() {
  martlet_say "accounts martlet-control and martlet-proxy"
  systemd-sysusers /usr/lib/sysusers.d/martlet.conf
}

# start FRESH: enables and starts the units of a new installation; of an upgraded one those that run are started anew.
martlet_start() {
  martlet_systemd || { systemctl enable $martlet_units; return 0; }
  systemctl daemon-reload
  if [ "$1" = fresh ]; then
    martlet_say "enable and start $martlet_units"
    systemctl enable -q $martlet_units
    systemctl start $martlet_units || martlet_say "warning: a service did not start: ask martlet check and journalctl -u martletd"
  else
    martlet_say "restart $martlet_units"
    systemctl try-restart $martlet_units || martlet_say "warning: a service did not start: ask journalctl -u martletd"
    martlet_replace_proxy
  fi
}

# What waits for the mesh before it starts would not start again: units' drop-ins of martlet enroll, the hook of podman. And what
# asks it for names.
martlet_release() {
  for file in /etc/systemd/system/*.service.d/50-martlet.conf; do
    if [ -e "$file" ] && head -n 1 "$file" | grep -q '^# Written by martlet enroll'; then
      martlet_say "remove $file"
      rm -f "$file"
      rmdir "$(dirname "$file")" 2>/dev/null || true
    fi
  done
  # The second is where `hooks_dir` of containers.conf may point.
  for directory in /usr/share/containers/oci/hooks.d /etc/containers/oci/hooks.d; do
    if [ -e "$directory/martlet.json" ]; then
      martlet_say "remove $directory/martlet.json"
      rm -f "$directory/martlet.json"
      rmdir -p --ignore-fail-on-non-empty "$directory"
    fi
  done
  # Names of the mesh are asked of nobody when the agent is gone. A file that was changed is its owner's.
  if cmp -s /usr/lib/martlet/resolved.conf /etc/systemd/resolved.conf.d/martlet.conf; then
    martlet_say "remove /etc/systemd/resolved.conf.d/martlet.conf"
    rm -f /etc/systemd/resolved.conf.d/martlet.conf
    rmdir --ignore-fail-on-non-empty /etc/systemd/resolved.conf.d
    if martlet_systemd; then systemctl -q try-restart systemd-resolved.service || true; fi
  fi
  if martlet_systemd; then systemctl daemon-reload; fi
}

# The new agent replaces a proxy of another program by itself; this waits for it, and says what came of it.
martlet_replace_proxy() {
  systemctl -q is-active martletd.service || return 0
  martlet_tries=0
  while [ $martlet_tries -lt 30 ]; do
    martlet_said=$(/usr/bin/martlet upgrade-proxy 2>&1) && { martlet_say "proxy: $martlet_said"; return 0; }
    case $martlet_said in
      *'GIVEN UP'*) martlet_say "warning: $martlet_said"; return 0 ;;
    esac
    # It is being replaced right now, or the agent does not have its snapshot yet.
    martlet_tries=$((martlet_tries + 1))
    sleep 1
  done
  martlet_say "warning: the proxy was not replaced: $martlet_said; martlet status tells, martlet upgrade-proxy tries again"
}

# Ends everything of the mesh that runs: the units, the proxy that serves on without its agent, the programs in the kernel.
martlet_stop() {
  martlet_release
  martlet_say "disable and stop $martlet_units"
  if martlet_systemd; then systemctl disable -q --now $martlet_units; else systemctl disable -q $martlet_units; fi
  if [ -e /usr/lib/systemd/system/martlet-hosts.timer ]; then
    if martlet_systemd; then systemctl disable -q --now martlet-hosts.timer; else systemctl disable -q martlet-hosts.timer; fi
  fi
  if [ -x /usr/bin/martlet ] && grep -q '^# BEGIN martlet' /etc/hosts 2>/dev/null; then
    martlet_say "martlet hosts --remove"
    /usr/bin/martlet hosts --remove | sed 's/^/  /'
  fi
  if [ -x /usr/bin/martlet ] && martlet_systemd; then
    martlet_say "martlet purge"
    martlet_said=$(/usr/bin/martlet purge 2>&1) || martlet_say "warning: something could not be removed:"
    printf '%s\n' "$martlet_said" | sed 's/^/  /'
  fi
}

# After the files are gone.
martlet_forget() {
  if martlet_systemd; then
    systemctl daemon-reload
    systemctl reset-failed $martlet_units 2>/dev/null || true
  fi
}

# What was learnt, and what only the mesh used.
martlet_remove_state() {
  martlet_say "remove /var/lib/martlet and /var/lib/martlet-control"
  # The run directory outlives its unit (RuntimeDirectoryPreserve=).
  rm -rf /var/lib/martlet /var/lib/martlet-control /run/martlet /run/martlet-control
  martlet_say "remove accounts martlet-control and martlet-proxy"
  for account in martlet-control martlet-proxy; do
    if getent passwd "$account" >/dev/null; then userdel "$account"; fi
    if getent group "$account" >/dev/null; then groupdel "$account"; fi
  done
}
