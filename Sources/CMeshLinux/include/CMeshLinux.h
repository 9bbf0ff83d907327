/* The system calls that NIO and the Glibc module lack or cannot express in Swift: entering a network namespace, passing
 * descriptors, netlink, starting a process into a cgroup with nothing inherited. Every function returns a negative errno
 * on failure; none keeps state, none prints, none ends the process. */
#pragma once

#include "cmesh_canary.h"
#include "cmesh_cgroup.h"
#include "cmesh_heap.h"
#include "cmesh_limits.h"
#include "cmesh_netns.h"
#include "cmesh_process.h"
#include "cmesh_residence.h"
#include "cmesh_rights.h"
#include "cmesh_route.h"
#include "cmesh_sockdiag.h"
#include "cmesh_text.h"
#include "cmesh_watch.h"
