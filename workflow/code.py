"""The code fingerprint, as the rules see it: which source files a script consists of, and a hash of each."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from preference.files.provenance import fingerprint  # noqa: F401  (standard library only: planning stays instant)
