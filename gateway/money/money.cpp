#include "gateway/money/money.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "gateway/base/base.h"

namespace trib::money {
namespace {

constexpr std::int64_t pico_per_micro = 1'000'000;
constexpr int128 pico_per_cny = static_cast<int128>(1'000'000) * 1'000'000;

struct Decimal {
  bool negative = false;
  std::uint64_t whole = 0;
  std::uint64_t fraction = 0;  // scaled to `places`
};

std::optional<Decimal> parse_decimal(std::string_view text, int places_max, int places) {
  Decimal out;
  if (!text.empty() && text.front() == '-') {
    out.negative = true;
    text.remove_prefix(1);
  }
  const auto dot = text.find('.');
  const std::string_view whole = text.substr(0, dot);
  const std::string_view fraction = dot == std::string_view::npos ? std::string_view{} : text.substr(dot + 1);
  if (whole.empty() || whole.size() > 18) return std::nullopt;
  if (dot != std::string_view::npos && fraction.empty()) return std::nullopt;
  if (fraction.size() > static_cast<std::size_t>(places_max)) return std::nullopt;
  const auto read = [](std::string_view digits, std::uint64_t& value) {
    for (const char c : digits) {
      if (c < '0' || c > '9') return false;
      value = value * 10 + static_cast<std::uint64_t>(c - '0');
    }
    return true;
  };
  if (!read(whole, out.whole) || !read(fraction, out.fraction)) return std::nullopt;
  for (auto i = static_cast<int>(fraction.size()); i < places; ++i) out.fraction *= 10;
  return out;
}

std::string decimal_text(bool negative, std::uint64_t whole, std::uint64_t fraction, std::size_t places) {
  std::string out = negative ? "-" : "";
  out += std::to_string(whole);
  if (fraction != 0) {
    std::string digits = std::to_string(fraction);
    digits.insert(0, places - digits.size(), '0');
    digits.erase(digits.find_last_not_of('0') + 1);
    out += '.' + digits;
  }
  return out;
}

// Indices by falling remainder; equal ones in list order.
std::vector<std::size_t> by_remainder(const std::vector<int128>& rest) {
  std::vector<std::size_t> order(rest.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return rest[a] != rest[b] ? rest[a] > rest[b] : a < b;
  });
  return order;
}

}  // namespace

std::optional<Amount> Amount::parse(std::string_view text, int places_max) {
  TRIB_ASSERT(places_max >= 0 && places_max <= 12);
  const auto d = parse_decimal(text, places_max, 12);
  if (!d) return std::nullopt;
  const int128 value = static_cast<int128>(d->whole) * pico_per_cny + static_cast<int128>(d->fraction);
  return Amount(d->negative ? -value : value);
}

std::string Amount::text() const {
  const bool minus = value_ < 0;
  const int128 magnitude = minus ? -value_ : value_;
  return decimal_text(minus, static_cast<std::uint64_t>(magnitude / pico_per_cny),
                      static_cast<std::uint64_t>(magnitude % pico_per_cny), 12);
}

std::int64_t Amount::pf() const {
  auto rest = static_cast<std::int64_t>(value_ % pico_per_micro);
  if (rest < 0) rest += pico_per_micro;
  return rest;
}

std::int64_t Amount::mu() const {
  const int128 floored = (value_ - pf()) / pico_per_micro;
  TRIB_ASSERT(floored <= INT64_MAX && floored >= INT64_MIN);
  return static_cast<std::int64_t>(floored);
}

Amount Amount::from_mu_pf(std::int64_t mu, std::int64_t pf) {
  TRIB_ASSERT(pf >= 0 && pf < pico_per_micro);
  return Amount(static_cast<int128>(mu) * pico_per_micro + pf);
}

Amount operator+(Amount a, Amount b) {
  int128 out = 0;
  TRIB_ASSERT(!__builtin_add_overflow(a.value_, b.value_, &out));
  return Amount(out);
}

Amount operator-(Amount a, Amount b) {
  int128 out = 0;
  TRIB_ASSERT(!__builtin_sub_overflow(a.value_, b.value_, &out));
  return Amount(out);
}

std::optional<Price> Price::parse_per_million(std::string_view text) {
  const auto d = parse_decimal(text, 6, 6);
  // One CNY per million tokens is a micro-CNY, 1,000,000 pico, per token. The bound keeps any row in int64.
  if (!d || d->negative || d->whole > 1'000'000'000) return std::nullopt;
  return Price(static_cast<std::int64_t>(d->whole * 1'000'000 + d->fraction));
}

std::string Price::per_million_text() const {
  const auto value = static_cast<std::uint64_t>(value_);
  return decimal_text(false, value / 1'000'000, value % 1'000'000, 6);
}

Amount charge(std::uint64_t quantity, Price price) {
  int128 out = 0;
  TRIB_ASSERT(!__builtin_mul_overflow(static_cast<int128>(quantity), static_cast<int128>(price.pico()), &out));
  return Amount::pico(out);
}

namespace {

// `rotation` is asked only when units are left over.
template <class Rotation>
void split_by(Amount gross, std::span<const std::uint32_t> weights_ppm, const Rotation& rotation, std::span<Amount> parts) {
  const std::size_t n = weights_ppm.size();
  TRIB_ASSERT(n > 0 && n <= parties_max && parts.size() == n && !gross.negative());
  TRIB_ASSERT(std::accumulate(weights_ppm.begin(), weights_ppm.end(), std::uint64_t{0}) == ppm_whole);
  std::array<std::uint32_t, parties_max> rest;
  Amount left = gross;
  for (std::size_t i = 0; i < n; ++i) {
    int128 product = 0;
    TRIB_ASSERT(!__builtin_mul_overflow(gross.pico(), static_cast<int128>(weights_ppm[i]), &product));
    // A division of 128 bits is a call; most products fit 64.
    const int128 part = product <= INT64_MAX ? static_cast<std::int64_t>(product) / std::int64_t{ppm_whole} : product / ppm_whole;
    parts[i] = Amount::pico(part);
    rest[i] = static_cast<std::uint32_t>(product - part * ppm_whole);
    left -= parts[i];
  }
  if (left.zero()) return;
  // Fewer units are left than parties: each goes to the largest remainder that has none yet, ties to
  // the first from the rotation on.
  TRIB_ASSERT(left.pico() < static_cast<int128>(n));
  const std::size_t first = rotation() % n;
  std::array<bool, parties_max> given{};
  for (; !left.zero(); left -= Amount::pico(1)) {
    std::size_t best = n;
    for (std::size_t k = 0; k < n; ++k) {
      const std::size_t i = (first + k) % n;
      if (!given[i] && (best == n || rest[i] > rest[best])) best = i;
    }
    given[best] = true;
    parts[best] += Amount::pico(1);
  }
}

}  // namespace

std::vector<Amount> split(Amount gross, std::span<const std::uint32_t> weights_ppm, std::uint64_t rotation) {
  std::vector<Amount> parts(weights_ppm.size());
  split_by(gross, weights_ppm, [&] { return rotation; }, parts);
  return parts;
}

void split_request(Amount gross, std::span<const std::uint32_t> weights_ppm, const RequestId& id, std::span<Amount> parts) {
  split_by(gross, weights_ppm, [&] {
    char text[32];
    id.write_hex(text);
    return split_rotation({text, sizeof text}, weights_ppm.size());
  }, parts);
}

std::uint64_t split_rotation(std::string_view request_id_text, std::size_t parties) {
  TRIB_ASSERT(parties > 0);
  const auto digest = sha256(request_id_text);
  std::uint64_t value = 0;
  for (int i = 0; i < 8; ++i) value = value << 8 | digest[static_cast<std::size_t>(i)];
  return value % parties;
}

std::vector<std::uint64_t> apportion(std::uint64_t total, std::span<const std::uint64_t> weights) {
  const std::size_t n = weights.size();
  std::vector<std::uint64_t> out(n, 0);
  const auto sum = std::accumulate(weights.begin(), weights.end(), static_cast<int128>(0));
  if (n == 0 || sum == 0) return out;
  std::vector<int128> rest(n);
  std::uint64_t left = total;
  for (std::size_t i = 0; i < n; ++i) {
    const int128 product = static_cast<int128>(total) * weights[i];
    out[i] = static_cast<std::uint64_t>(product / sum);
    rest[i] = product % sum;
    left -= out[i];
  }
  const auto order = by_remainder(rest);
  for (std::size_t i = 0; left > 0; ++i, --left) ++out[order[i]];
  return out;
}

}  // namespace trib::money
