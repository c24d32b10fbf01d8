"""The `replicatoor` command: verbs, their options, exit codes. No logic; each verb has its module.

Exit code 2 for bad usage or configuration, 1 for a failure, each with one line. Imports are lazy, so
that `--help` answers at once.
"""

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from guest.protocol.errors import Misconfigured, ReplicatoorError

USAGE = 2
FAILURE = 1


def parser() -> argparse.ArgumentParser:
    """Return the command's parser."""
    top = argparse.ArgumentParser(
        prog="replicatoor",
        description="A node of a network of confidential VMs that keeps its keys.",
    )
    verbs = top.add_subparsers(dest="verb", required=True, metavar="VERB")
    settings = argparse.ArgumentParser(add_help=False)
    settings.add_argument("--env", type=Path, help="settings file (NAME=value lines)")
    shown = argparse.ArgumentParser(add_help=False)
    shown.add_argument("--json", action="store_true", help="one JSON object on standard output")
    verbs.add_parser("check", parents=[settings, shown], help="find every problem before it hurts")
    verbs.add_parser("run", parents=[settings], help="run the host beside its guest")
    verbs.add_parser("status", parents=[settings, shown], help="say how the node is doing")
    relay = verbs.add_parser("relay", help="serve documents to every host")
    relay.add_argument("--listen", default="127.0.0.1:8640", help="HOST:PORT")
    relay.add_argument("--directory", type=Path, help="keep documents here across restarts")
    verify = verbs.add_parser("verify", help="verify evidence offline")
    kinds = verify.add_subparsers(dest="what", required=True, metavar="WHAT")
    quote = kinds.add_parser("quote", parents=[shown], help="a TDX quote with its collateral")
    if len(sys.argv) > 2 and sys.argv[1:3] == ["verify", "quote"]:
        from host.audit.verify_quote import add_arguments  # the quote library costs start-up time

        add_arguments(quote)
    return top


def main() -> int:
    """Run the command named by argv."""
    arguments = parser().parse_args()
    try:
        return _dispatch(arguments, os.environ)
    except Misconfigured as error:
        return _failed(error, USAGE)
    except ReplicatoorError as error:
        return _failed(error, FAILURE)
    except KeyboardInterrupt:
        return 130


def _dispatch(arguments: argparse.Namespace, environment: Mapping[str, str]) -> int:
    if arguments.verb == "verify":
        from host.audit import report

        return report.quote(arguments)
    if arguments.verb == "relay":
        from host.documents import serving

        return serving.main(arguments.listen, arguments.directory)
    from host import config

    values = dict(environment)
    if arguments.env is not None:
        values = {**config.read_env_file(arguments.env), **values}
    if arguments.verb == "check":
        from host import check

        return check.main(values, as_json=arguments.json)
    parsed = config.parse(values)
    if arguments.verb == "status":
        from host import status

        return status.main(parsed, as_json=arguments.json)
    from host import daemon

    return daemon.main(parsed)


def _failed(error: ReplicatoorError, code: int) -> int:
    sys.stderr.write(f"replicatoor: {error}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
