#include "gateway/metering/records.h"

#include <algorithm>
#include <limits>
#include <type_traits>

namespace trib::metering {
namespace {

constexpr std::uint8_t format_version = 1;

template <class T>
concept Unsigned = std::is_same_v<T, std::uint8_t> || std::is_same_v<T, std::uint16_t> ||
                   std::is_same_v<T, std::uint32_t> || std::is_same_v<T, std::uint64_t>;

// Appends little-endian values; `ok` turns false when a bound is broken.
class Writer {
 public:
  template <class T>
  using Of = const T;

  explicit Writer(std::string& out) : out_(out) {}
  bool ok = true;

  template <Unsigned T>
  void operator()(T value) {
    char bytes[sizeof(T)];
    for (std::size_t i = 0; i < sizeof(T); ++i)
      bytes[i] = static_cast<char>(value >> (8 * i) & 255);
    out_.append(bytes, sizeof bytes);
  }
  void operator()(std::int64_t value) { (*this)(static_cast<std::uint64_t>(value)); }
  void operator()(const std::string& text) {
    if (text.size() > std::numeric_limits<std::uint16_t>::max()) ok = false;
    if (!ok) return;
    (*this)(static_cast<std::uint16_t>(text.size()));
    out_.append(text);
  }
  void operator()(const Sha256& digest) {
    out_.append(reinterpret_cast<const char*>(digest.data()), digest.size());
  }
  void operator()(money::Amount amount) {
    const auto bits = static_cast<unsigned __int128>(amount.pico());
    (*this)(static_cast<std::uint64_t>(bits));
    (*this)(static_cast<std::uint64_t>(bits >> 64));
  }
  template <class E>
  void enumerator(E value, E last) {
    if (value > last) ok = false;
    (*this)(static_cast<std::uint8_t>(value));
  }
  void body(const std::string& text) {
    if (text.size() > record_body_bytes_max) ok = false;
    if (!ok) return;
    (*this)(static_cast<std::uint32_t>(text.size()));
    out_.append(text);
  }
  template <class T>
  void list(const std::vector<T>& items) {
    if (items.size() > record_attempts_max) ok = false;
    if (!ok) return;
    (*this)(static_cast<std::uint16_t>(items.size()));
    for (const T& item : items) fields(*this, item);
  }
  template <class T>
  void maybe(const std::optional<T>& item) {
    (*this)(static_cast<std::uint8_t>(item ? 1 : 0));
    if (item) fields(*this, *item);
  }

 private:
  std::string& out_;
};

// Takes values off a view; `ok` turns false at the first that is not there, and stays so.
class Reader {
 public:
  template <class T>
  using Of = T;

  explicit Reader(std::string_view in) : in_(in) {}
  bool ok = true;
  bool done() const { return ok && in_.empty(); }

  template <Unsigned T>
  void operator()(T& value) {
    value = 0;
    const std::string_view bytes = take(sizeof(T));
    if (bytes.empty()) return;
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i)
      bits |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (8 * i);
    value = static_cast<T>(bits);
  }
  void operator()(std::int64_t& value) {
    std::uint64_t bits = 0;
    (*this)(bits);
    value = static_cast<std::int64_t>(bits);
  }
  void operator()(std::string& text) {
    std::uint16_t bytes = 0;
    (*this)(bytes);
    text = take(bytes);
  }
  void operator()(Sha256& digest) {
    const std::string_view bytes = take(digest.size());
    std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char*>(digest.data()));
  }
  void operator()(money::Amount& amount) {
    std::uint64_t low = 0, high = 0;
    (*this)(low);
    (*this)(high);
    amount = money::Amount::pico(
        static_cast<money::int128>(static_cast<unsigned __int128>(high) << 64 | low));
  }
  template <class E>
  void enumerator(E& value, E last) {
    std::uint8_t raw = 0;
    (*this)(raw);
    if (raw > static_cast<std::uint8_t>(last)) ok = false;
    if (ok) value = static_cast<E>(raw);
  }
  void body(std::string& text) {
    std::uint32_t bytes = 0;
    (*this)(bytes);
    if (bytes > record_body_bytes_max) ok = false;
    text = take(bytes);
  }
  template <class T>
  void list(std::vector<T>& items) {
    std::uint16_t count = 0;
    (*this)(count);
    if (count > record_attempts_max) ok = false;
    std::size_t i = 0;
    for (; ok && i < count; ++i) fields(*this, i < items.size() ? items[i] : items.emplace_back());
    items.resize(i);
  }
  template <class T>
  void maybe(std::optional<T>& item) {
    std::uint8_t there = 0;
    (*this)(there);
    if (there > 1) ok = false;
    if (!ok || there == 0) return item.reset();
    fields(*this, item.emplace());
  }

 private:
  std::string_view take(std::size_t bytes) {
    if (!ok || bytes > in_.size()) {
      ok = false;
      return {};
    }
    const std::string_view taken = in_.substr(0, bytes);
    in_.remove_prefix(bytes);
    return taken;
  }

  std::string_view in_;
};

// The layout, once for both directions. A change here is a new format version.
template <class A, class T>
using Of = typename A::template Of<T>;

template <class A>
void fields(A& a, Of<A, RequestId>& v) {
  a(v.hi);
  a(v.lo);
}

template <class A>
void fields(A& a, Of<A, TokenCounts>& v) {
  a(v.input);
  a(v.cached_input);
  a(v.cache_write);
  a(v.output);
  a(v.reasoning);
}

template <class A>
void fields(A& a, Of<A, Admit>& v) {
  fields(a, v.id);
  a(v.wall_ms);
  a(v.tenant);
  a(v.model);
  a(v.key_hash);
  a(v.body_hash);
  a(v.price_version);
  a(v.book_revision);
  a(v.hold);
  a(v.idempotency);
  a(v.operation);
}

template <class A>
void fields(A& a, Of<A, Attempt>& v) {
  fields(a, v.id);
  a(v.n);
  a(v.wall_ms);
  a(v.site);
  a(v.seat);
  a(v.device);
  a(v.engine);
  a(v.vendor);
  a(v.contract);
  a(v.contract_version);
}

template <class A>
void fields(A& a, Of<A, Progress>& v) {
  fields(a, v.id);
  a(v.n);
  a(v.wall_ms);
  a(v.pieces);
  a(v.bytes);
}

template <class A>
void fields(A& a, Of<A, AttemptResult>& v) {
  a(v.n);
  a(v.fault);
  a(v.side);
  a(v.delivered);
  a(v.pieces);
  a(v.bytes);
  a.maybe(v.claimed);
}

template <class A>
void fields(A& a, Of<A, Final>& v) {
  fields(a, v.admit);
  a(v.wall_ms);
  a.enumerator(v.outcome, Outcome::quarantined);
  a(v.status);
  fields(a, v.counts);
  a.enumerator(v.source, CountSource::estimate);
  a(v.bytes_delivered);
  a.list(v.attempts);
  a.list(v.results);
}

template <class A>
void fields(A& a, Of<A, Command>& v) {
  a(v.id);
  a(v.kind);
  a(v.wall_ms);
  a.body(v.body);
}

template <class A>
void fields(A& a, Of<A, Seal>& v) {
  a(v.from_lsn);
  a(v.to_lsn);
  a(v.chain);
}

template <class T>
bool decode_as(Reader& reader, Record& to) {
  if (!std::holds_alternative<T>(to)) to.emplace<T>();
  fields(reader, std::get<T>(to));
  return reader.done();
}

}  // namespace

std::string_view name(CountSource source) {
  switch (source) {
    case CountSource::none:
      return "none";
    case CountSource::exact:
      return "exact";
    case CountSource::claimed:
      return "claimed";
    case CountSource::derived:
      return "derived";
    case CountSource::estimate:
      return "estimate";
  }
  return "unknown";
}

std::string_view name(Outcome outcome) {
  switch (outcome) {
    case Outcome::completed:
      return "completed";
    case Outcome::cancelled:
      return "cancelled";
    case Outcome::partial:
      return "partial";
    case Outcome::failed:
      return "failed";
    case Outcome::refused:
      return "refused";
    case Outcome::recovered:
      return "recovered";
    case Outcome::quarantined:
      return "quarantined";
  }
  return "unknown";
}

bool encode_to(RecordRef record, std::string& out) {
  const std::size_t before = out.size();
  Writer writer(out);
  writer(format_version);
  writer(static_cast<std::uint8_t>(record.index() + 1));  // kinds are frozen in the variant's order
  record.visit([&](const auto& value) { fields(writer, value); });
  if (out.size() - before > record_bytes_max) writer.ok = false;
  if (!writer.ok) out.resize(before);
  return writer.ok;
}

std::string encode(RecordRef record) {
  std::string out;
  encode_to(record, out);
  return out;
}

std::optional<Record> decode(std::string_view bytes) {
  Record out;
  if (!decode(bytes, out)) return std::nullopt;
  return out;
}

bool decode(std::string_view bytes, Record& to) {
  if (bytes.size() > record_bytes_max) return false;
  Reader reader(bytes);
  std::uint8_t version = 0, kind = 0;
  reader(version);
  reader(kind);
  if (!reader.ok || version != format_version) return false;
  switch (kind) {
    case 1:
      return decode_as<Admit>(reader, to);
    case 2:
      return decode_as<Attempt>(reader, to);
    case 3:
      return decode_as<Progress>(reader, to);
    case 4:
      return decode_as<Final>(reader, to);
    case 5:
      return decode_as<Command>(reader, to);
    case 6:
      return decode_as<Seal>(reader, to);
    default:
      return false;
  }
}

std::optional<std::size_t> kind_of(std::string_view bytes) {
  if (bytes.size() < 2 || static_cast<std::uint8_t>(bytes[0]) != format_version) return std::nullopt;
  const auto kind = static_cast<std::uint8_t>(bytes[1]);
  if (kind < 1 || kind > std::variant_size_v<Record>) return std::nullopt;
  return kind - 1;
}

}  // namespace trib::metering
