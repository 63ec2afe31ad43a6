#include "gateway/ledger/receipt.h"

#include <algorithm>
#include <array>

#include "gateway/base/json.h"
#include "gateway/base/json_writer.h"
#include "gateway/ledger/bytes.h"
#include "gateway/ledger/chain.h"
#include "gateway/ledger/checkpoint.h"

namespace trib::ledger {
namespace {

constexpr std::string_view prefix = "tributary-receipts/1\n";
constexpr std::array<std::string_view, 4> served_names{"done", "cancelled", "broken", "deadline"};
constexpr std::int64_t bytes_end = std::int64_t{1} << 50;
constexpr std::int64_t time_end = std::int64_t{1} << 48;  // as in a request id
constexpr std::size_t site_bytes_max = 128;

bool plain(std::string_view text, std::size_t bytes_max) {
  return !text.empty() && text.size() <= bytes_max &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 127 && c != '"' && c != '\\'; });
}

bool is_count(std::uint64_t n) { return n <= static_cast<std::uint64_t>(receipt_count_max); }

bool in_bounds(const Receipt& r) {
  const auto time = [](std::int64_t at) { return at >= 0 && at < time_end; };
  if (r.attempt == 0 || !plain(r.model, receipt_model_bytes_max) || !is_count(r.pieces) || r.bytes >= static_cast<std::uint64_t>(bytes_end)) return false;
  if (!time(r.began_ms) || !time(r.ended_ms) || r.status > 999 || static_cast<std::size_t>(r.served) >= served_names.size()) return false;
  if (!r.tokens) return true;
  const auto& c = *r.tokens;
  return is_count(c.input) && is_count(c.cached_input) && is_count(c.cache_write) && is_count(c.output) && is_count(c.reasoning);
}

// Reads the values of an array one after the other; false from the first that is not there or out of range.
class Values {
 public:
  explicit Values(json::Cursor& cursor) : cursor_(cursor), fine_(cursor.enter_array()) {}
  template <class T>
  bool number(T& to, std::int64_t end) {
    std::int64_t value = 0;
    fine_ = fine_ && cursor_.next_element() && cursor_.read_integer(value) && value >= 0 && value < end;
    to = static_cast<T>(value);
    return fine_;
  }
  bool text(std::string& to) { return fine_ = fine_ && cursor_.next_element() && cursor_.read_string(to); }
  bool next() { return fine_ = fine_ && cursor_.next_element(); }
  bool ended() { return fine_ && !cursor_.next_element() && cursor_.ok(); }

 private:
  json::Cursor& cursor_;
  bool fine_;
};

bool read_tokens(json::Cursor& cursor, std::optional<metering::TokenCounts>& out) {
  if (cursor.peek() == json::Type::null) return cursor.read_null();
  auto& c = out.emplace();
  Values values(cursor);
  for (auto* n : {&c.input, &c.cached_input, &c.cache_write, &c.output, &c.reasoning}) values.number(*n, receipt_count_max + 1);
  return values.ended();
}

bool read_one(json::Cursor& cursor, Receipt& out) {
  Values values(cursor);
  std::string request, served;
  values.text(request);
  values.number(out.attempt, 65'536);
  values.text(out.model);
  if (!values.next() || !read_tokens(cursor, out.tokens)) return false;
  values.number(out.pieces, receipt_count_max + 1);
  values.number(out.bytes, bytes_end);
  values.number(out.began_ms, time_end);
  values.number(out.ended_ms, time_end);
  values.text(served);
  values.number(out.status, 1000);
  if (!values.ended()) return false;
  const auto id = RequestId::parse(request);
  const auto at = std::find(served_names.begin(), served_names.end(), served);
  if (!id || at == served_names.end()) return false;
  out.request = *id;
  out.served = static_cast<Served>(at - served_names.begin());
  return in_bounds(out);
}

Sha256 root_of(const std::vector<Receipt>& receipts) {
  std::vector<Sha256> leaves;
  leaves.reserve(receipts.size());
  for (const Receipt& one : receipts) leaves.push_back(receipt_leaf(receipt_text(one)));
  return merkle_root(leaves);
}

}  // namespace

std::string_view name(Served served) { return served_names[static_cast<std::size_t>(served)]; }

std::string receipt_text(const Receipt& receipt) {
  if (!in_bounds(receipt)) return {};
  const auto n = [](std::uint64_t value) { return static_cast<std::int64_t>(value); };
  json::Writer out;
  out.open('[').text(receipt.request.text()).integer(receipt.attempt).text(receipt.model);
  if (receipt.tokens) {
    const auto& c = *receipt.tokens;
    out.open('[');
    for (const auto count : {c.input, c.cached_input, c.cache_write, c.output, c.reasoning}) out.integer(n(count));
    out.close(']');
  } else {
    out.raw("null");
  }
  out.integer(n(receipt.pieces)).integer(n(receipt.bytes)).integer(receipt.began_ms).integer(receipt.ended_ms);
  return out.text(name(receipt.served)).integer(receipt.status).close(']').take();
}

std::optional<Receipt> read_receipt(std::string_view text) {
  json::Cursor cursor(text, {.depth = 2});
  Receipt out;
  if (!read_one(cursor, out) || !cursor.finish() || receipt_text(out) != text) return std::nullopt;
  return out;
}

Sha256 receipt_leaf(std::string_view text) { return sha256(std::string_view("\0", 1), text); }

std::string signed_bytes(const ReceiptRoot& root) {
  ByteWriter w;
  w.raw(prefix);
  w.text(root.site);
  w.fixed(root.number);
  w.fixed(root.made_ms);
  w.fixed(static_cast<std::uint32_t>(root.receipts.size()));
  w.digest(root.root);
  w.digest(root.prev);
  return std::string(w.written());
}

Sha256 digest(const ReceiptRoot& root) { return sha256(signed_bytes(root)); }

bool signature_fits(const ReceiptRoot& root) { return trib::signature_fits(root.key, signed_bytes(root), root.signature); }

void sign(ReceiptRoot& root, const SigningKey& key) {
  root.root = root_of(root.receipts);
  root.key = key.public_key();
  root.signature = key.sign(signed_bytes(root));
}

std::string to_json(const ReceiptRoot& root) {
  json::Writer out;
  out.open('{').text("site", root.site).integer("number", static_cast<std::int64_t>(root.number)).integer("made_ms", root.made_ms);
  out.text("root", to_hex(root.root)).text("prev", to_hex(root.prev)).text("key", to_hex(root.key)).text("signature", to_hex(root.signature));
  out.key("receipts").open('[');
  for (const Receipt& one : root.receipts) out.raw(receipt_text(one));
  return out.close(']').close('}').take();
}

std::optional<ReceiptRoot> read_receipt_root(std::string_view text) {
  if (text.size() > root_bytes_max) return std::nullopt;
  json::Cursor cursor(text, {.depth = 4, .unique_keys = true});
  ReceiptRoot out;
  std::string digits;
  std::string_view key;
  std::int64_t value = 0;
  const auto digest_to = [&](Sha256& to) {
    const auto read = cursor.read_string(digits) ? read_digest(digits) : std::nullopt;
    if (read) to = *read;
    return read.has_value();
  };
  const auto bytes_to = [&](std::string& to, std::size_t size) {
    auto read = cursor.read_string(digits) ? read_digits(digits, size) : std::nullopt;
    if (read) to = std::move(*read);
    return read.has_value();
  };
  if (!cursor.enter_object()) return std::nullopt;
  while (cursor.next_key(key)) {
    bool fine = false;
    if (key == "site") {
      fine = cursor.read_string(out.site) && plain(out.site, site_bytes_max);
    } else if (key == "number") {
      fine = cursor.read_integer(value) && value > 0;
      out.number = static_cast<std::uint64_t>(value);
    } else if (key == "made_ms") {
      fine = cursor.read_integer(out.made_ms) && out.made_ms >= 0 && out.made_ms < time_end;
    } else if (key == "root") {
      fine = digest_to(out.root);
    } else if (key == "prev") {
      fine = digest_to(out.prev);
    } else if (key == "key") {
      fine = bytes_to(out.key, 32);
    } else if (key == "signature") {
      fine = bytes_to(out.signature, 64);
    } else if (key == "receipts") {
      fine = cursor.enter_array();
      while (fine && cursor.next_element())
        fine = out.receipts.size() < receipts_per_root_max && read_one(cursor, out.receipts.emplace_back());
    }
    if (!fine) return std::nullopt;
  }
  if (!cursor.finish() || out.receipts.empty() || out.site.empty() || out.number == 0) return std::nullopt;
  if (to_json(out) != text || root_of(out.receipts) != out.root) return std::nullopt;
  return out;
}

}  // namespace trib::ledger
