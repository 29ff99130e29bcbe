"""What TensorBoard shows of a search: in tensorboard/trial-000/ and so on, one folder for a trial.

Each is a row of the HParams table, with the trainer's settings and the trial's scores. Its curve,
the accuracy on the eval split, is in the chart of the trainings' own.
"""

from pathlib import Path

from components.trainer import TrainerParams
from components.tuner.trials import Trial
from seqline.host import event_files


def write_trial(trial: Trial, trainer: TrainerParams, output: Path) -> None:
    """Writes the event files of a trial that has ended.

    Args:
        trial: the trial.
        trainer: the trainer's own parameters.
        output: the Hyperparameters.
    """
    folder = output / event_files.FOLDER / f"trial-{trial.number:03d}"
    settings = event_files.settings(trainer.with_values(trial.params).key_fields())
    series = [(0, [settings, *event_files.scores(trial.eval_accuracy, trial.eval_loss)])]
    for epoch, accuracy in enumerate(trial.accuracies, start=1):
        series.append((epoch, event_files.scalars({"accuracy/epoch": accuracy})))
    event_files.write(folder, series)
