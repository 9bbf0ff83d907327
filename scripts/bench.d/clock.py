"""What the kernel's own count of program time costs: with `kernel.bpf_stats_enabled` it reads the clock before and after each run, and
some of that is counted as the program's time."""
import ctypes
import os
import platform
import struct

CALLS = {"x86_64": 321, "aarch64": 280}
PROG_LOAD, PROG_TEST_RUN, SCHED_CLS = 5, 10, 3
RUNS = 1_000_000


def _bpf(command, attributes):
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(attributes, max(len(attributes), 128))
    result = libc.syscall(CALLS[platform.machine()], command, buffer, len(buffer))
    if result < 0:
        raise OSError(ctypes.get_errno(), f"bpf command {command}")
    return result


def nanoseconds_of_an_empty_run():
    """While `Statistics` is on: the time that is counted for a run of a program that does nothing, again and again, so the least."""
    code = ctypes.create_string_buffer(struct.pack("<BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0))
    license = ctypes.create_string_buffer(b"GPL")
    data = ctypes.create_string_buffer(64)
    program = _bpf(PROG_LOAD, struct.pack("<IIQQ", SCHED_CLS, 2, ctypes.addressof(code), ctypes.addressof(license)))
    try:
        _bpf(PROG_TEST_RUN, struct.pack("<IIIIQQI", program, 0, len(data), 0, ctypes.addressof(data), 0, RUNS))
        with open(f"/proc/self/fdinfo/{program}") as info:
            counts = dict(line.split(":", 1) for line in info)
        return int(counts["run_time_ns"]) / int(counts["run_cnt"])
    finally:
        os.close(program)
