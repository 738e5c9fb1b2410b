"""The process that `keyhouse serve` becomes: listens, prepares, greets, serves. It loads nothing that serving does not need."""

import gc
import sys
from types import ModuleType
from typing import cast

from keyhouse.cli.exit_codes import ExitCode, exit_code_of, report
from keyhouse.cli.standard_streams import prepare_standard_streams
from keyhouse.domain.errors import Error


def main() -> None:
    """Serve with the settings of the environment, and exit."""
    prepare_standard_streams()
    # structlog loads rich where it is installed, for tracebacks that are never printed here: 4 MB in every worker.
    sys.modules.setdefault("rich", cast(ModuleType, None))
    # While it loads next to nothing becomes garbage, and looking for it takes a tenth of the time; the opened house turns this on again.
    gc.disable()
    try:
        from keyhouse.cli.serving import check, serve
        from keyhouse.cli.takeover import CHECK, legacy_of

        sys.exit(check() if CHECK in sys.argv else serve(legacy_of(sys.argv)))
    except Error as error:
        report(error.message)
        sys.exit(exit_code_of(error))
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)


if __name__ == "__main__":
    main()
