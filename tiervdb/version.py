"""Which tiervdb this is; documents carry it beside who wrote them."""

VERSION = "0.1.0"
