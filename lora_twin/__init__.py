"""Commands of the installed distribution `lora-twin`.

A wheel installs the packages `twin`, `controller`, `fake_vllm` and `formats` inside this one, so that it shares no file
with a distribution that has a package of the same name. The commands put that folder first on the import path. Other
programs find it by a `.pth` file after everything else; `import lora_twin` puts it first there too.
"""

import os
import signal
import sys
from pathlib import Path


def packages_folder() -> Path:
    """Return the folder that contains the four packages: this one, or the root of a checkout."""
    here = Path(__file__).resolve().parent
    return here if (here / "formats").is_dir() else here.parent


def _import_from(folder: str) -> None:
    """Put a folder first on the import path of this process and of the Python processes that it starts."""
    sys.path[:] = [folder, *(place for place in sys.path if place != folder)]
    others = [place for place in os.environ.get("PYTHONPATH", "").split(os.pathsep) if place and place != folder]
    os.environ["PYTHONPATH"] = os.pathsep.join([folder, *others])


_import_from(str(packages_folder()))


def run_twin() -> None:
    """Run `twin`; Ctrl-C while it imports its modules ends it without a traceback."""
    try:
        from twin.cli import main
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    main()


def run_lora_controller() -> None:
    """Run `lora-controller`."""
    from controller.__main__ import main

    main()


def run_lora_runtime() -> None:
    """Run `lora-runtime`."""
    from controller.sidecar.__main__ import main

    main()


def run_fake_vllm() -> None:
    """Run `fake-vllm`."""
    from fake_vllm.__main__ import main

    main()
