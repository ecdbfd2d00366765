"""The exit codes of every command, with their meaning."""

OK = 0  # done, everything declared holds
NOT_MET = 1  # done, but the constraint, a gate or a comparison is not met
USAGE = 2  # the command or the recipe must change
MACHINE = 3  # this machine cannot do it: runtime or GPU missing, disk full at start
FAILED = 4  # failed while running; resumable if a run directory was printed
BUG = 70  # a bug in condensa; the traceback is saved
INTERRUPTED = 130  # interrupted; state was saved
BROKEN_PIPE = 141  # the reader of our output left: what a shell shows for SIGPIPE
