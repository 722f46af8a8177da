"""What a signal is called; the kernel sends some that Python has no name for (signal(7), "Real-time signals")."""

import signal


def signal_name(number: int) -> str:
    """As kill(1) lists it: ``SIGKILL``, ``SIGRTMIN+1``; ``signal 33`` of one that has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        above = number - signal.SIGRTMIN
        return f"SIGRTMIN+{above}" if 0 < above <= signal.SIGRTMAX - signal.SIGRTMIN else f"signal {number}"
