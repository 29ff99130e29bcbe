"""`seqline retrain`: trains on new data, one process at a time, and pushes what passes all gates.

  thresholds.py  every gate has a threshold or is waived by name; the gates of a run in their order
  decide.py      the changes since the last verdict, in a second and without TensorFlow
  state.py       the state under <root>/retrain/: the last verdict, the spans that each pushed
                 model was trained on, the spans that are left out
  lock.py        one retraining at a time; a second one is told who holds the lock
  warm.py        a warm or a cold start
  attempt.py     the run itself and its record
  verdicts.py    how a run ended, and why

The command is pipeline/cli/retrain.py. docs/retraining.md is for users.
"""

# How a retraining can end.
PUSHED = "pushed"
NOTHING_NEW = "nothing new"
REJECTED = "data rejected"
REFUSED = "refused"
BUSY = "busy"
INTERRUPTED = "interrupted"
FAILED = "failed"

EXIT_CODES = {
    PUSHED: 0,
    NOTHING_NEW: 10,
    REJECTED: 20,
    REFUSED: 30,
    BUSY: 40,
    INTERRUPTED: 50,
    FAILED: 1,
}
