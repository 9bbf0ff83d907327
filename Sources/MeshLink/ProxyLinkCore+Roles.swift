import MeshBase
import NIOCore

/// What a proxy is there for. The agent decides it.
package enum ProxyRole: Equatable, Sendable {
  /// Has listeners and accepts.
  case serving
  /// Is given the snapshot, and nothing else until it is promoted.
  case candidate
  /// Accepts no more; finishes what it has, within this time.
  case draining(milliseconds: UInt64)
}

/// A proxy that said hello and has both sockets. Confined to the link's event loop.
final class LinkedProxy {
  let process: Int32
  let version: String
  /// The protocol that it speaks; `isForeign`: no more than its core is ours.
  let spoken: UInt16
  let isForeign: Bool
  let stream: any Channel
  let descriptors: any Channel
  let sender: DescriptorSender
  /// Orders that its stream has borne, of those that precede descriptors.
  var orders: UInt64 = 0

  init(
    process: Int32, version: String, spoken: UInt16, isForeign: Bool, stream: any Channel, descriptors: any Channel,
    sender: DescriptorSender
  ) {
    self.process = process
    self.version = version
    self.spoken = spoken
    self.isForeign = isForeign
    self.stream = stream
    self.descriptors = descriptors
    self.sender = sender
  }

  func close() {
    self.sender.close()
    self.descriptors.close(promise: nil)
    self.stream.close(promise: nil)
  }
}

/// One that does not serve (yet, or any more).
final class AsideProxy {
  let proxy: LinkedProxy
  /// Nil: it is sent no more revisions.
  var publisher: PublishMachine?

  init(_ proxy: LinkedProxy, publisher: PublishMachine?) {
    self.proxy = proxy
    self.publisher = publisher
  }
}

/// Who serves, and who does not.
///
/// ```
/// hello ─ candidate ─► aside, with revisions ─ promote ─► current ─ promote of another ─► aside ─ drain ─► without revisions
///   └──── serving ────────────────────────────────────────►┘
/// ```
/// One that speaks another protocol stays aside, whatever it is there for: it gets sockets for what it accepts, and is told to
/// drain when one of our own serves.
extension ProxyLinkCore {
  /// Both its sockets are there.
  func linked(_ proxy: LinkedProxy, isDraining: Bool) {
    // The same process again: what it had is gone.
    if let current = self.current, current.process == proxy.process { self.disconnect(current) }
    if let old = self.aside[proxy.process] { self.dismiss(old.proxy) }
    let role = self.configuration.role(proxy.process)
    if isDraining || proxy.isForeign {
      self.aside[proxy.process] = AsideProxy(proxy, publisher: nil)
      // It hears that an agent is there, which has nothing else to say.
      self.send(.withdraw(workload: LinkCodec.nobody), to: proxy)
      if isDraining {
        self.onEvent(.aside(process: proxy.process, .draining))
      } else if case .draining(let milliseconds) = role {
        self.send(.drain(milliseconds: milliseconds), to: proxy)
      } else {
        self.onEvent(.aside(process: proxy.process, .foreign(version: proxy.version, spoken: proxy.spoken)))
      }
      return
    }
    switch role {
    case .serving:
      if let old = self.current {
        self.setAside(old, isDraining: true)
        self.send(.drain(milliseconds: self.configuration.drainMilliseconds), to: old)
      }
      self.current = proxy
      self.onEvent(.connected(process: proxy.process, version: proxy.version))
      self.perform(self.publisher.connected(), for: proxy)
    case .candidate:
      var publisher = self.publisher
      publisher.disconnected()
      let action = publisher.connected()
      self.aside[proxy.process] = AsideProxy(proxy, publisher: publisher)
      self.perform(action, for: proxy)
    case .draining(let milliseconds):
      self.aside[proxy.process] = AsideProxy(proxy, publisher: nil)
      self.send(.drain(milliseconds: milliseconds), to: proxy)
    }
  }

  /// It serves from here on, and the one that served does not. That one is told nothing yet: it goes on accepting beside.
  func promote(_ process: Int32) {
    guard let next = self.aside[process], !next.proxy.isForeign else { return }
    self.aside[process] = nil
    if let old = self.current { self.setAside(old, isDraining: false) }
    self.current = next.proxy
    let known = next.publisher
    if let known { self.publisher = known }
    self.onEvent(.connected(process: process, version: next.proxy.version))
    guard known != nil else { return self.perform(self.publisher.connected(), for: next.proxy) }
    if case .current(let revision?) = self.publisher.phase { self.onEvent(.applied(revision: revision)) }
  }

  /// It shall accept no more, and end within this time.
  func drain(_ process: Int32, milliseconds: UInt64) {
    guard let one = self.aside[process] else { return }
    one.publisher = nil
    self.send(.drain(milliseconds: milliseconds), to: one.proxy)
  }

  func setAside(_ proxy: LinkedProxy, isDraining: Bool) {
    self.current = nil
    self.aside[proxy.process] = AsideProxy(proxy, publisher: isDraining ? nil : self.publisher)
    self.publisher.disconnected()
  }

  func received(_ message: ProxyMessage, from one: AsideProxy) {
    let process = one.proxy.process
    switch message {
    case .hello, .listenerAccepted, .nameStats, .costs, .upstreams: break
    case .applied(let revision):
      guard let action = one.publisher?.applied(revision: revision) else { break }
      self.perform(action, for: one.proxy)
      if case .current = one.publisher?.phase { self.onEvent(.aside(process: process, .ready)) }
    case .rejected(let revision, let text):
      self.onEvent(.aside(process: process, .rejected(revision: revision, message: text)))
    case .stockWanted(let request): self.onEvent(.aside(process: process, .stockWanted(request)))
    case .stats(let stats): self.onEvent(.aside(process: process, .stats(stats)))
    // One that drains still carries requests; they add up, whoever carries them.
    case .requests(let counts): self.onEvent(.requests(counts))
    case .draining:
      one.publisher = nil
      self.onEvent(.aside(process: process, .draining))
    }
  }

  /// The connection of the one that serves is gone.
  func disconnect(_ proxy: LinkedProxy) {
    self.current = nil
    self.publisher.disconnected()
    proxy.close()
    self.onEvent(.disconnected(process: proxy.process))
  }

  func dismiss(_ proxy: LinkedProxy) {
    self.aside[proxy.process] = nil
    proxy.close()
  }
}
