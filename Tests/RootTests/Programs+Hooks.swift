/// Programs that somebody else has at the hooks of the mesh.
extension Programs {
  /// `MODE CGROUP TYPE`: attaches a program that lets everything pass to a cgroup hook (10: connect4, 11: connect6), says
  /// `attached`, and takes it away at its end. `exclusive`: so that no other can be attached there, tried for 10 seconds;
  /// `beside`: as a link, after those that are there.
  static let foreignHook = """
    import ctypes, os, platform, signal, struct, sys, time
    mode, path, kind = sys.argv[1], sys.argv[2], int(sys.argv[3])
    number = {"x86_64": 321, "aarch64": 280}[platform.machine()]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    def bpf(command, attributes):
        buffer = ctypes.create_string_buffer(attributes, len(attributes))
        result = libc.syscall(number, command, ctypes.byref(buffer), len(attributes))
        if result < 0: raise OSError(ctypes.get_errno(), "bpf")
        return result
    code = ctypes.create_string_buffer(bytes([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]), 16)
    license = ctypes.create_string_buffer(b"GPL")
    program = bpf(5, struct.pack("=IIQQIIQII16sII", 18, 2, ctypes.addressof(code), ctypes.addressof(license), 0, 0, 0,
        0, 0, b"stranger", 0, kind))
    cgroup = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    if mode == "beside":
        link = bpf(28, struct.pack("=IIII", program, cgroup, kind, 0))
    else:
        end = time.monotonic() + 10
        while True:
            try:
                bpf(8, struct.pack("=IIII", cgroup, program, kind, 0))
                break
            except OSError:
                if time.monotonic() > end: raise
                time.sleep(0.0005)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print("attached", flush=True)
    try:
        time.sleep(600)
    finally:
        if mode != "beside": bpf(9, struct.pack("=IIII", cgroup, program, kind, 0))
    """
}
