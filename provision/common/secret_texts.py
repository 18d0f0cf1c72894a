"""What is secret by how it looks: settings whose names say it, private keys, and what lets somebody in at an address.

That holds in every text that is given away: plans, messages, reports, logs. It finds what is written as people write
it; what is known to be secret for another reason, whoever knows that hides.
"""

import base64
import re
from binascii import Error

HIDDEN = "(hidden)"
_NAMES = (
    r"passw(?:or)?d|passphrase|passcode|passkey|pwd|secret"
    r"|(?:(?<![a-z])pass|(?:key|store|db|user|admin|root)pass|(?-i:(?<=[a-z])(?<!first)(?<!second)(?<!last)(?<!By)(?<!by)Pass))(?![a-z])|credential|token|jaas"
    r"|keystore[._]?key|private[._-]?key|(?:api|access)[._-]?key|user_[a-z0-9]|user[._-]?info|authorization"
)
_NAME = re.compile(_NAMES, re.IGNORECASE)
_PASSWORD = re.compile(r"pass|pwd|secret", re.IGNORECASE)  # `delegation.token.expiry.time.ms` has a plain number
# After the name: `name=value`, `name: value`, `"name": "value"`, `--name value`, and `name old → new` of a plan.
_SET = re.compile(
    rf"""((?:{_NAMES})[\w.-]*(?:["']?[ \t]*(?:=>|[=:])[ \t]*|[ \t]+(?=\S+[ ]→[ ])))
    (?![ \t]|null\b|none\b|\[hidden\]|\(hidden\))
    ("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[^\n]+)""",
    re.IGNORECASE | re.VERBOSE,
)
_OPTION = re.compile(rf"((?:--|(?<!\S)-)[\w-]*(?:{_NAMES})[\w-]*[ \t]+)(\S+)", re.IGNORECASE)
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)
_ADDRESS = re.compile(r"(://[^\s/:@]*:)[^\s/@]+(?=@)")
_SIGNED = re.compile(r"([?&](?:[\w-]*sig(?:nature)?|code|key)=)[^&\s\"']+", re.IGNORECASE)
_BEARER = re.compile(r"(\bBearer[ \t]+)(?=\S*[\d._-])[\w.~+/-]{8,}=*", re.IGNORECASE)
_BASIC = re.compile(r"(\bBasic[ \t]+)([A-Za-z0-9+/]{4,}={0,2})(?![\w+/=])", re.IGNORECASE)


def is_secret_name(name: str) -> bool:
    """Whether the name of a setting says that its value is secret."""
    return bool(_NAME.search(name))


def is_secret_setting(name: str, value: str) -> bool:
    """Whether a setting is secret: by its name, unless that is about a number, as `delegation.token.expiry.time.ms`."""
    return is_secret_name(name) and (bool(_PASSWORD.search(name)) or not value.isdigit())


def without_keys(text: str) -> str:
    """A text, with `HIDDEN` for each private key in PEM form, of however many lines."""
    return _PEM.sub(HIDDEN, text)


def without_secrets(text: str) -> str:
    """A text, with `HIDDEN` for what is secret in it."""
    text = _ADDRESS.sub(rf"\1{HIDDEN}", without_keys(text))
    text = _OPTION.sub(rf"\1{HIDDEN}", _SET.sub(rf"\1{HIDDEN}", text))
    text = _BEARER.sub(rf"\1{HIDDEN}", _SIGNED.sub(rf"\1{HIDDEN}", text))
    return _BASIC.sub(lambda found: f"{found[1]}{HIDDEN}" if _is_login(found[2]) else found[0], text)


def _is_login(encoded: str) -> bool:
    """Whether it is a user's name and password, as HTTP has them."""
    try:
        return b":" in base64.b64decode(encoded, validate=True)
    except Error:
        return False
