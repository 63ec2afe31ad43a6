"""Time in Asia/Shanghai, and exact shares, in Python's own integers."""
import hashlib

PPM = 1_000_000
FEN = 10**10
DAY = 86_400_000
SHANGHAI = 8 * 3_600_000


# --- time -------------------------------------------------------------------------------------------

def civil(ms):
    """Year and month in Asia/Shanghai of a Unix time in ms (days to civil, proleptic Gregorian)."""
    days = (ms + SHANGHAI) // DAY + 719_468
    era, doe = divmod(days, 146_097)
    yoe = (doe - doe // 1460 + doe // 36_524 - doe // 146_096) // 365
    doy = doe - (365 * yoe + yoe // 4 - yoe // 100)
    mp = (5 * doy + 2) // 153
    month = mp + 3 if mp < 10 else mp - 9
    return yoe + era * 400 + (month <= 2), month


def period_of(ms):
    year, month = civil(ms)
    return year * 100 + month


def following(period):
    return period + 89 if period % 100 == 12 else period + 1


def begins(period):
    year, month = divmod(period, 100)
    year -= month <= 2
    era, yoe = divmod(year, 400)
    doy = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5
    doe = yoe * 365 + yoe // 4 - yoe // 100 + doy
    return (era * 146_097 + doe - 719_468) * DAY - SHANGHAI


def day_after(ms):
    """The first millisecond of the next day in Asia/Shanghai."""
    return ((ms + SHANGHAI) // DAY + 1) * DAY - SHANGHAI


# --- arithmetic -------------------------------------------------------------------------------------

def split(gross, weights, rotation):
    """Largest remainder; ties in list order from `rotation` on. Weights in ppm that sum to a whole."""
    assert sum(weights) == PPM and gross >= 0
    parts = [gross * w // PPM for w in weights]
    rest = [gross * w % PPM for w in weights]
    n = len(weights)
    order = sorted(range(n), key=lambda i: (-rest[i], (i - rotation) % n))
    for i in order[:gross - sum(parts)]:
        parts[i] += 1
    return parts


def share(total, weights):
    """As apportion(), by amounts that may be negative: floors towards minus infinity."""
    whole = sum(weights)
    parts = [total * w // whole for w in weights]
    order = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole), i))
    for i in order[:total - sum(parts)]:
        parts[i] += 1
    return parts


def apportion(total, weights):
    whole = sum(weights)
    parts = [total * w // whole if whole else 0 for w in weights]
    order = sorted(range(len(weights)), key=lambda i: (-(total * weights[i] % whole) if whole else 0, i))
    for i in order[:total - sum(parts)]:
        parts[i] += 1
    return parts


def rotation_of(request, n):
    return int.from_bytes(hashlib.sha256(request.encode()).digest()[:8], "big") % n


def floor_fen(amount):
    return amount // FEN * FEN


def half_up_fen(numerator, denominator):
    """The quotient in whole fen, half away from zero."""
    sign = -1 if numerator < 0 else 1
    return sign * ((2 * abs(numerator) + denominator * FEN) // (2 * denominator * FEN)) * FEN


def pico(text):
    sign = -1 if text.startswith("-") else 1
    whole, _, rest = text.lstrip("-").partition(".")
    return sign * (int(whole) * 10**12 + int(rest.ljust(12, "0")))
