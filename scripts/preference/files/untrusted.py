"""What a model or a file of somebody else's says, made harmless to look at. Standard library only.

An escape sequence could move a terminal's cursor, hide lines or set its title; bidirectional controls reorder what
stands around them, on a page too. Nothing here writes one, so whatever control character is left did not come from us
and is shown as a sign.
"""

import re

# Tag characters are invisible text. The joiners U+200C and U+200D stay: words of many scripts, and emoji, are made with
# them.
_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    """The text with every control character but line breaks and tabs replaced by a sign: ␛ for ESC, ⟨U+202E⟩."""
    return _CONTROLS.sub(_sign, text.replace("\r\n", "\n"))


def _sign(match: re.Match) -> str:
    code = ord(match[0])
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"
