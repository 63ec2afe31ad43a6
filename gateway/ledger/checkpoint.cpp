#include "gateway/ledger/checkpoint.h"

#include <algorithm>
#include <limits>

#include "gateway/ledger/bytes.h"
#include "gateway/ledger/period.h"

namespace trib::ledger {
namespace {

constexpr std::string_view prefix = "tributary-checkpoint/1\n";
constexpr std::string_view format = "tributary-checkpoint/1";

}  // namespace

std::string signed_bytes(const Checkpoint& checkpoint) {
  ByteWriter w;
  w.raw(prefix);
  w.fixed(checkpoint.shard);
  w.fixed(checkpoint.number);
  w.fixed(checkpoint.batch_from);
  w.fixed(checkpoint.batch_to);
  w.fixed(checkpoint.to_lsn);
  w.fixed(checkpoint.made_ms);
  w.digest(checkpoint.root);
  w.digest(checkpoint.head);
  w.digest(checkpoint.prev);
  return std::string(w.written());
}

Sha256 digest(const Checkpoint& checkpoint) { return sha256(signed_bytes(checkpoint)); }

bool signature_fits(const Checkpoint& checkpoint) {
  return trib::signature_fits(checkpoint.public_key, signed_bytes(checkpoint), checkpoint.signature);
}

std::string follows(const Checkpoint& held, const Checkpoint& next) {
  const std::string n = std::to_string(next.number);
  if (next.shard != held.shard) return "checkpoint " + n + " is of another shard";
  if (next.number != held.number + 1) return "checkpoint " + n + " does not come after " + std::to_string(held.number);
  if (next.prev != digest(held)) return "checkpoint " + n + " is not chained to checkpoint " + std::to_string(held.number);
  if (next.batch_from != held.batch_to + 1 || next.batch_to < next.batch_from || next.to_lsn <= held.to_lsn)
    return "checkpoint " + n + " does not go on where checkpoint " + std::to_string(held.number) + " ended";
  return {};
}

std::string to_json(const Checkpoint& checkpoint) {
  std::string out = "{\"format\":\"" + std::string(format) + '"';
  const auto number = [&](std::string_view name, std::uint64_t value) {
    out += ",\"" + std::string(name) + "\":" + std::to_string(value);
  };
  const auto text = [&](std::string_view name, const std::string& value) {
    out += ",\"" + std::string(name) + "\":\"" + value + '"';
  };
  number("shard", checkpoint.shard);
  number("number", checkpoint.number);
  number("batch_from", checkpoint.batch_from);
  number("batch_to", checkpoint.batch_to);
  number("to_lsn", checkpoint.to_lsn);
  number("made_ms", static_cast<std::uint64_t>(checkpoint.made_ms));
  text("made_at", time_text(checkpoint.made_ms));
  text("root", to_hex(checkpoint.root));
  text("head", to_hex(checkpoint.head));
  text("prev", to_hex(checkpoint.prev));
  text("public_key", to_hex(checkpoint.public_key));
  text("signature", to_hex(checkpoint.signature));
  return out + '}';
}

std::optional<std::string> read_digits(std::string_view hex, std::size_t bytes) {
  if (hex.size() != 2 * bytes) return std::nullopt;
  if (std::any_of(hex.begin(), hex.end(), [](char c) { return c >= 'A' && c <= 'F'; })) return std::nullopt;
  return from_hex(hex);
}

std::optional<Sha256> read_digest(std::string_view hex) {
  const auto bytes = read_digits(hex, Sha256{}.size());
  if (!bytes) return std::nullopt;
  Sha256 out{};
  std::copy(bytes->begin(), bytes->end(), reinterpret_cast<char*>(out.data()));
  return out;
}

std::optional<Checkpoint> read_checkpoint(std::string_view text) {
  json::Cursor cursor(text, {.depth = 2, .unique_keys = true});
  Checkpoint out;
  bool fine = true;
  const auto number = [&](auto& to) {
    std::int64_t value = 0;
    cursor.read_integer(value);
    using T = std::remove_reference_t<decltype(to)>;
    if (value < 0 || !std::in_range<T>(value)) fine = false;
    to = static_cast<T>(value);
  };
  std::string word;
  const auto hash = [&](Sha256& to) {
    cursor.read_string(word);
    const auto value = read_digest(word);
    fine = fine && value.has_value();
    if (value) to = *value;
  };
  const auto octets = [&](std::string& to, std::size_t size) {
    cursor.read_string(word);
    auto value = read_digits(word, size);
    fine = fine && value.has_value();
    if (value) to = std::move(*value);
  };
  if (!cursor.enter_object()) return std::nullopt;
  std::string_view key;
  while (cursor.next_key(key)) {
    if (key == "shard") number(out.shard);
    else if (key == "number") number(out.number);
    else if (key == "batch_from") number(out.batch_from);
    else if (key == "batch_to") number(out.batch_to);
    else if (key == "to_lsn") number(out.to_lsn);
    else if (key == "made_ms") number(out.made_ms);
    else if (key == "root") hash(out.root);
    else if (key == "head") hash(out.head);
    else if (key == "prev") hash(out.prev);
    else if (key == "public_key") octets(out.public_key, 32);
    else if (key == "signature") octets(out.signature, 64);
    else if (key == "format" || key == "made_at") cursor.skip();  // compared below
    else fine = false, cursor.skip();
  }
  // What time_text can write; and the whole is what this program writes, whatever the blanks between.
  constexpr std::int64_t made_ms_max = 253'370'736'000'000;
  if (!cursor.finish() || !fine || out.made_ms > made_ms_max) return std::nullopt;
  std::string squeezed;
  bool quoted = false;
  for (const char c : text) {
    if (c == '"') quoted = !quoted;
    if (quoted || (c != ' ' && c != '\t' && c != '\n' && c != '\r')) squeezed += c;
  }
  if (squeezed != to_json(out)) return std::nullopt;
  return out;
}

}  // namespace trib::ledger
