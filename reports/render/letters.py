"""Unicode text in the letters of plain LaTeX: no package, no other font, no command let through."""

import re
import unicodedata

from reports.render.legible import UNKNOWN, line

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": r"\textbar{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "[": "{[}",  # a bracket after \\ or \item would be an option
    "]": "{]}",
    "*": "{*}",  # so would a star after \\
    "`": "{`}",  # two of them, or one behind ? and !, would be another sign
    **{c: f"\\{c}" for c in "&%$#_{}"},
}
SIGNS = {
    "±": r"$\pm$",
    "▲": r"$\bigtriangleup$",
    "▼": r"$\bigtriangledown$",
    "←": r"$\leftarrow$",
    "↑": r"$\uparrow$",
    "→": r"$\rightarrow$",
    "↓": r"$\downarrow$",
    "·": r"$\cdot$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "÷": r"$\div$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "≠": r"$\neq$",
    "≈": r"$\approx$",
    "∞": r"$\infty$",
    "√": r"$\surd$",
    "°": r"$^{\circ}$",
    "µ": r"$\mu$",
    "…": r"\ldots{}",
    "§": r"\S{}",
    "¶": r"\P{}",
    "©": r"\copyright{}",
    "£": r"\pounds{}",
    "¡": "!{`}",
    "¿": "?{`}",
    "ß": r"\ss{}",
    "æ": r"\ae{}",
    "Æ": r"\AE{}",
    "œ": r"\oe{}",
    "Œ": r"\OE{}",
    "ø": r"\o{}",
    "Ø": r"\O{}",
    "ł": r"\l{}",
    "Ł": r"\L{}",
    "\N{LATIN SMALL LETTER DOTLESS I}": r"\i{}",
    "\N{EN DASH}": "--",
    "\N{EM DASH}": "---",
    "\N{HYPHEN}": "-",
    "\N{NON-BREAKING HYPHEN}": "-",
    "\N{MINUS SIGN}": "$-$",
    "\N{NO-BREAK SPACE}": "~",
    "\N{LEFT SINGLE QUOTATION MARK}": "{`}",
    "\N{RIGHT SINGLE QUOTATION MARK}": "{'}",
    "\N{LEFT DOUBLE QUOTATION MARK}": "``",
    "\N{RIGHT DOUBLE QUOTATION MARK}": "''",
    UNKNOWN: "?",
    "\0": "{}",  # between signs that would join
}
ACCENTS = {
    "\N{COMBINING GRAVE ACCENT}": "`",
    "\N{COMBINING ACUTE ACCENT}": "'",
    "\N{COMBINING CIRCUMFLEX ACCENT}": "^",
    "\N{COMBINING TILDE}": "~",
    "\N{COMBINING MACRON}": "=",
    "\N{COMBINING BREVE}": "u",
    "\N{COMBINING DOT ABOVE}": ".",
    "\N{COMBINING DIAERESIS}": '"',
    "\N{COMBINING RING ABOVE}": "r",
    "\N{COMBINING DOUBLE ACUTE ACCENT}": "H",
    "\N{COMBINING CARON}": "v",
    "\N{COMBINING CEDILLA}": "c",
    "\N{COMBINING DOT BELOW}": "d",
    "\N{COMBINING MACRON BELOW}": "b",
}
GREEK = re.compile(r"GREEK (SMALL|CAPITAL) LETTER (FINAL )?(\w+)")
CAPITALS = {"gamma", "delta", "theta", "xi", "pi", "sigma", "upsilon", "phi", "psi", "omega"}
LATIN = {"omicron": "o"}  # a Greek letter that LaTeX writes as a Latin one; so many capitals
ALIKE = {"alpha": "A", "beta": "B", "epsilon": "E", "zeta": "Z", "eta": "H", "iota": "I"}
ALIKE |= {"kappa": "K", "mu": "M", "nu": "N", "omicron": "O", "rho": "P", "tau": "T", "chi": "X"}
KNOWN = SPECIAL | SIGNS


def letters(text: str) -> str:
    """The text as LaTeX sets it with its own fonts; a character that they lack is its number.

    One line. A minus before a digit is a minus, not a hyphen; hyphens, quotes and commas do not
    join to another sign.
    """
    text = re.sub(r"(?<!\w)-(?=\d)", "\N{MINUS SIGN}", unicodedata.normalize("NFC", line(text)))
    return "".join(map(_letter, re.sub(r"([-',])(?=\1)", r"\1\0", text)))


def _letter(c: str) -> str:
    if c in KNOWN:
        return KNOWN[c]
    return c if " " <= c <= "~" else _accented(c) or _greek(c) or _raised(c) or _number(c)


def _accented(c: str) -> str:
    base, *marks = [*unicodedata.normalize("NFD", c)]
    if not marks or not base.isascii() or not base.isalpha() or not set(marks) <= ACCENTS.keys():
        return ""
    found = f"\\{base}" if base in "ij" else base
    for mark in marks:
        found = f"\\{ACCENTS[mark]}{{{found}}}"
    return found


def _greek(c: str) -> str:
    told = GREEK.fullmatch(unicodedata.name(c, ""))
    if not told:
        return ""
    size, final, name = told[1], told[2], told[3].lower().replace("lamda", "lambda")
    if size == "CAPITAL":
        capital = name in CAPITALS or name == "lambda"
        return f"$\\{name.capitalize()}$" if capital else ALIKE.get(name, "")
    known = {*CAPITALS, *ALIKE, "lambda"} - {"omicron"}
    if name not in known:
        return LATIN.get(name, "")
    return r"$\varsigma$" if final else f"$\\{name}$"


def _raised(c: str) -> str:
    """Figures that stand high or low, and letters that are others in another dress."""
    kind = unicodedata.decomposition(c).partition(">")[0]
    plain = unicodedata.normalize("NFKC", c)
    if not kind.startswith("<") or not plain.isascii() or not plain.isalnum():
        return ""
    sign = {"<super": "^", "<sub": "_"}.get(kind)
    return f"${sign}{{{plain}}}$" if sign else plain


def _number(c: str) -> str:
    return f"{{[}}U+{ord(c):04X}{{]}}"
