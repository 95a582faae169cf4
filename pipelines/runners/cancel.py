"""python -m pipelines.runners.cancel: the end of a job that a job server has taken.

    python -m pipelines.runners.cancel --job_endpoint=localhost:8099 JOB

Nothing of a run whose job is cancelled is visible, unless it has committed before; the next run adopts what it had
finished. Jobs of Dataflow are cancelled by `gcloud dataflow jobs cancel`.
Exit codes: 0 the server has taken it; 1 it has not; 2 the command cannot start as it was given.
"""

from collections.abc import Sequence
from typing import Final

from pipelines.options import Parser, run_main
from schemas.errors import RunFailed

_SECONDS: Final = 30.0


def parser() -> Parser:
    """Returns the command's parser."""
    command = Parser.of_command("pipelines.runners.cancel", __doc__)
    command.add_argument("job", help="the job's identifier, as it was printed when it was submitted")
    command.add_argument("--job_endpoint", required=True, metavar="HOST:PORT", help="the job server that has taken it")
    return command


def main(arguments: Sequence[str]) -> int:
    """Runs the command and returns its exit code.

    Raises:
        RunFailed: If the server does not answer, or knows no such job.
    """
    given = parser().begin(arguments)
    import grpc
    from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

    service = beam_job_api_pb2_grpc.JobServiceStub(grpc.insecure_channel(given.job_endpoint))
    try:
        state = service.Cancel(beam_job_api_pb2.CancelJobRequest(job_id=given.job), timeout=_SECONDS).state
    except grpc.RpcError as error:
        raise RunFailed(f"{given.job_endpoint} does not cancel {given.job}: {error.details()}") from error
    if state == beam_job_api_pb2.JobState.UNSPECIFIED:
        raise RunFailed(f"{given.job_endpoint} knows no job {given.job}.")
    print(f"{given.job} is {beam_job_api_pb2.JobState.Enum.Name(state).lower()}.")
    return 0


if __name__ == "__main__":
    run_main(main)
