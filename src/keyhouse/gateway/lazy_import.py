"""Libraries that few installations use: imported on first use, and off the event loop, since some take a fifth of a second."""

import asyncio
import importlib
from typing import Any

from keyhouse.domain.errors import Code, Error

_loaded: dict[str, Any] = {}


async def load(module: str, package: str, purpose: str) -> Any:
    """A module. Raises Error `configuration`, naming `package` and `purpose` (the beginning of a sentence), where it is not installed."""
    if module not in _loaded:
        try:
            _loaded[module] = await asyncio.to_thread(importlib.import_module, module)
        except ImportError:
            missing = f"{purpose} needs the package {package}, which is missing here. Install it, or Keyhouse anew."
            raise Error(Code.CONFIGURATION, missing) from None
    return _loaded[module]
