"""The money once more, apart from the program: integers only, in pico-CNY (10^-12 CNY).

Written from the contract's words, not from the C++: what these functions and the gateway agree on was
computed twice. tests/integration checks them against the golden vectors.
"""
import decimal
import hashlib

PICO = 10**12
_exact = decimal.Context(prec=60, traps=[decimal.Inexact, decimal.InvalidOperation])


def pico(text):
    """"0.010339663898" -> 10339663898. Refuses numbers that are not strings and more than 12 places."""
    if not isinstance(text, str):
        raise ValueError(f"an amount is a string, not {text!r}")
    value = _exact.multiply(decimal.Decimal(text), decimal.Decimal(PICO))
    if value != value.to_integral_value():
        raise ValueError(f"{text}: more than 12 decimals")
    return int(value)


def cny(amount):
    """10339663898 -> "0.010339663898"."""
    sign, amount = ("-" if amount < 0 else ""), abs(amount)
    whole, part = divmod(amount, PICO)
    return f"{sign}{whole}" + (f".{part:012d}".rstrip("0") if part else "")


def per_token(price):
    """A price in CNY per 1M tokens -> pico-CNY a token."""
    value, rest = divmod(pico(price), 10**6)
    if rest:
        raise ValueError(f"{price}: more than 6 decimals")
    return value


def charge(tokens, price):
    """`tokens` and `price` by class: input, cached_input, output."""
    return sum(tokens[name] * per_token(price[name]) for name in ("input", "cached_input", "output"))


def split(gross, weights_ppm, request_id):
    """Largest remainder; ties in the order of `weights_ppm` (a dict), rotated by the request's id."""
    if sum(weights_ppm.values()) != 10**6:
        raise ValueError("weights do not sum to 1000000")
    names = list(weights_ppm)
    parts = {name: gross * weights_ppm[name] // 10**6 for name in names}
    rests = {name: gross * weights_ppm[name] % 10**6 for name in names}
    turn = int.from_bytes(hashlib.sha256(request_id.encode()).digest()[:8], "big") % len(names)
    order = sorted(names[turn:] + names[:turn], key=lambda name: -rests[name])  # sorted() keeps ties
    for name in order[:gross - sum(parts.values())]:
        parts[name] += 1
    return parts


def parties(site, vendor, shares, referrer=""):
    """The weights of a contract by party, in its fixed order; a share of zero is no party."""
    named = {"platform": "platform", "site": f"site:{site}", "vendor": f"vendor:{vendor}",
             "referrer": f"referrer:{referrer}"}
    return {named[role]: shares[role] for role in named if shares.get(role)}
