// A proof as a file. Writing makes one document of a proof; reading takes only what writing gives, so that
// nothing in the file can say anything that the hashes do not cover.
#include <boost/json.hpp>

#include "gateway/ledger/detail.h"
#include "gateway/ledger/period.h"
#include "gateway/ledger/proof.h"

namespace trib::ledger {
namespace {

namespace bj = boost::json;

constexpr std::string_view format = "tributary-proof/2";
constexpr std::size_t proof_bytes_max = 4u << 20;
constexpr std::size_t siblings_max = 64;
constexpr std::int64_t time_ms_end = 253'370'736'000'000;  // year 9999: what time_text can write

// ---- writing -------------------------------------------------------------------------------------

bj::value time_value(std::int64_t ms) { return ms < 0 || ms >= time_ms_end ? bj::value(nullptr) : bj::value(time_text(ms)); }

bj::value counts_value(const metering::TokenCounts& c) {
  return bj::object{{"input", c.input}, {"cached_input", c.cached_input}, {"cache_write", c.cache_write},
                    {"output", c.output}, {"reasoning", c.reasoning}};
}

bj::value digests_value(const std::vector<Sha256>& digests) {
  bj::array out;
  for (const Sha256& one : digests) out.push_back(bj::value(to_hex(one)));
  return out;
}

bj::value attempt_value(const AttemptRow& row) {
  return bj::object{{"n", row.sent.n},
                    {"dispatched_ms", row.sent.wall_ms},
                    {"site", row.sent.site},
                    {"seat", row.sent.seat},
                    {"device", row.sent.device},
                    {"engine", row.sent.engine},
                    {"vendor", row.sent.vendor},
                    {"contract", row.sent.contract},
                    {"contract_version", row.sent.contract_version},
                    {"fault", row.result.fault},
                    {"side", row.result.side},
                    {"delivered", row.result.delivered},
                    {"pieces", row.result.pieces},
                    {"bytes", row.result.bytes},
                    {"claimed", row.result.claimed ? counts_value(*row.result.claimed) : bj::value(nullptr)},
                    {"billed", row.rated ? counts_value(row.billed) : bj::value(nullptr)},
                    {"charge", row.rated ? bj::value(row.gross.text()) : bj::value(nullptr)}};
}

bj::value row_value(UsageRow row) {
  bj::array parts, attempts;
  std::vector<Part> part_rows;
  std::vector<AttemptRow> attempt_rows;
  decode_detail(row, attempt_rows, part_rows);  // prove() has read it before
  for (const Part& part : part_rows) {
    parts.push_back(bj::object{{"attempt", part.attempt},
                               {"party", part.party},
                               {"contract", part.contract},
                               {"contract_version", part.contract_version},
                               {"amount", part.amount.text()}});
  }
  for (const AttemptRow& attempt : attempt_rows) attempts.push_back(attempt_value(attempt));
  return bj::object{{"request", row.id.text()},
                    {"lsn", row.lsn},
                    {"batch", row.batch},
                    {"state", name(row.state)},
                    {"tenant", row.tenant},
                    {"model", row.model},
                    {"operation", row.operation},
                    {"outcome", metering::name(row.outcome)},
                    {"status", row.status},
                    {"source", metering::name(row.source)},
                    {"admitted_ms", row.admit_ms},
                    {"admitted_at", time_value(row.admit_ms)},
                    {"ended_ms", row.final_ms},
                    {"ended_at", time_value(row.final_ms)},
                    {"period", row.period},
                    {"price_version", row.price_version},
                    {"book_revision", row.book_revision},
                    {"tokens", counts_value(row.counts)},
                    {"bytes_delivered", row.bytes_delivered},
                    {"charge", row.gross ? bj::value(row.gross->text()) : bj::value(nullptr)},
                    {"parts", std::move(parts)},
                    {"attempts", std::move(attempts)},
                    {"key_hash", to_hex(row.key_hash)},
                    {"content_hash", to_hex(row.content_hash)}};
}

bj::value row_value(const TransferRow& row) {
  bj::array legs;
  for (const Leg& leg : row.legs) legs.push_back(bj::object{{"account", leg.account}, {"amount", leg.amount.text()}});
  return bj::object{{"transfer", row.id},
                    {"batch", row.batch},
                    {"code", row.code},
                    {"reason", row.reason},
                    {"effective_ms", row.effective_at},
                    {"effective_at", time_value(row.effective_at)},
                    {"booked_ms", row.booked_at},
                    {"booked_at", time_value(row.booked_at)},
                    {"period", row.period},
                    {"reverses", row.reverses ? bj::value(*row.reverses) : bj::value(nullptr)},
                    {"document", row.doc_id},
                    {"legs", std::move(legs)}};
}

bj::value batch_value(const BatchRow& batch) {
  return bj::object{{"shard", batch.shard},
                    {"id", batch.id},
                    {"from_lsn", batch.from_lsn},
                    {"to_lsn", batch.to_lsn},
                    {"booked_ms", batch.booked_at},
                    {"period_from", batch.period_from},
                    {"period_to", batch.period_to},
                    {"leaves", batch.n},
                    {"billed", batch.billed},
                    {"voided", batch.voided},
                    {"quarantined", batch.quarantined},
                    {"duplicates", batch.duplicates},
                    {"commands", batch.commands},
                    {"transfers", batch.transfers},
                    {"legs", batch.legs},
                    {"charged", batch.gross.text()},
                    {"debit", batch.debit.text()},
                    {"credit", batch.credit.text()},
                    {"merkle_root", to_hex(batch.merkle_root)},
                    {"journal_hash", to_hex(batch.journal_hash)},
                    {"prev_hash", to_hex(batch.prev_hash)},
                    {"hash", to_hex(batch.hash)}};
}

bj::value document(const Proof& proof) {
  const bool usage = std::holds_alternative<UsageRow>(proof.row);
  bj::value row = std::visit([](const auto& one) { return row_value(one); }, proof.row);
  const Sha256 leaf = std::visit([](const auto& one) { return one.leaf; }, proof.row);
  return bj::object{{"format", format},
                    {"kind", usage ? "usage" : "transfer"},
                    {"row", std::move(row)},
                    {"leaf", bj::object{{"hash", to_hex(leaf)}, {"index", proof.index}, {"siblings", digests_value(proof.siblings)}}},
                    {"batch", batch_value(proof.batch)},
                    {"batch_siblings", digests_value(proof.batch_siblings)},
                    {"checkpoint", bj::parse(to_json(proof.checkpoint))}};
}

// Members on lines of their own, but for objects without objects inside them that are short.
void print(const bj::value& value, const std::string& indent, std::string& out) {
  const auto each = [&](const auto& items, char open, char close, const auto& one) {
    if (items.empty()) return out += {open, close}, void();
    out += open;
    bool first = true;
    for (const auto& item : items) {
      out += (first ? "\n  " : ",\n  ") + indent;
      first = false;
      one(item);
    }
    out += '\n' + indent + close;
  };
  if (const auto* object = value.if_object()) {
    each(*object, '{', '}', [&](const auto& member) {
      out += bj::serialize(member.key()) + ": ";
      print(member.value(), indent + "  ", out);
    });
  } else if (const auto* array = value.if_array()) {
    each(*array, '[', ']', [&](const auto& item) { print(item, indent + "  ", out); });
  } else {
    out += bj::serialize(value);
  }
}

// ---- reading -------------------------------------------------------------------------------------

// Takes members by name; the first that is not what it should be is named in `why`.
class Taker {
 public:
  Taker(const bj::value& value, std::string path, std::string& why) : path_(std::move(path)), why_(why) {
    object_ = value.if_object();
    if (object_ == nullptr) wrong("", "is not an object");
  }
  const bj::value* any(const char* key) {
    const bj::value* const found = object_ == nullptr ? nullptr : object_->if_contains(key);
    if (found == nullptr) wrong(key, "is missing");
    return found;
  }
  template <class T>
  void number(const char* key, T& to) {
    const bj::value* const value = any(key);
    if (value == nullptr) return;
    const bool in = value->is_int64() ? std::in_range<T>(value->get_int64()) : value->is_uint64() && std::in_range<T>(value->get_uint64());
    if (!in) return wrong(key, "is not a number of its range");
    to = value->is_int64() ? static_cast<T>(value->get_int64()) : static_cast<T>(value->get_uint64());
  }
  void text(const char* key, std::string& to) {
    const bj::value* const value = any(key);
    if (value == nullptr) return;
    if (!value->is_string()) return wrong(key, "is not a text");
    to = value->get_string().c_str();
    if (to.size() != value->get_string().size()) wrong(key, "holds a zero byte");
  }
  void digest(const char* key, Sha256& to) {
    std::string word;
    text(key, word);
    const auto value = read_digest(word);
    if (!value) return wrong(key, "is not 64 lower-case hex digits");
    to = *value;
  }
  // `end`: refuses a negative one, and one from there on.
  void amount(const char* key, money::Amount& to, std::optional<money::int128> end = {}) {
    std::string word;
    text(key, word);
    const auto value = money::Amount::parse(word);
    if (!value || (end && (value->negative() || value->pico() >= *end))) return wrong(key, "is not an amount of its range");
    to = *value;
  }
  bool is_null(const char* key) {
    const bj::value* const value = any(key);
    return value != nullptr && value->is_null();
  }
  template <class One>
  void list(const char* key, std::size_t max, const One& one) {
    const bj::value* const value = any(key);
    if (value == nullptr) return;
    if (!value->is_array() || value->get_array().size() > max) return wrong(key, "is not a list of its size");
    for (std::size_t i = 0; i < value->get_array().size(); ++i)
      one(value->get_array()[i], path_ + key + "[" + std::to_string(i) + "].");
  }
  template <class E, class Name>
  void word(const char* key, E& to, E last, const Name& name_of) {
    std::string said;
    text(key, said);
    for (std::uint8_t i = 0; i <= static_cast<std::uint8_t>(last); ++i) {
      to = static_cast<E>(i);
      if (name_of(to) == said) return;
    }
    wrong(key, "is a word that is not known");
  }
  void counts(const char* key, metering::TokenCounts& c) {
    const bj::value* const value = any(key);
    if (value == nullptr) return;
    Taker in(*value, path_ + key + ".", why_);
    in.number("input", c.input);
    in.number("cached_input", c.cached_input);
    in.number("cache_write", c.cache_write);
    in.number("output", c.output);
    in.number("reasoning", c.reasoning);
  }
  void wrong(const std::string& key, const std::string& what) {
    if (why_.empty()) why_ = "`" + path_ + key + "` " + what;
  }

 private:
  const bj::object* object_ = nullptr;
  const std::string path_;
  std::string& why_;
};

void take_digests(Taker& in, const char* key, std::vector<Sha256>& to) {
  in.list(key, siblings_max, [&](const bj::value& value, const std::string& path) {
    const auto digest = value.is_string() ? read_digest(std::string_view(value.get_string())) : std::nullopt;
    if (!digest) return in.wrong(path, "is not 64 lower-case hex digits");
    to.push_back(*digest);
  });
}

AttemptRow take_attempt(Taker in) {
  AttemptRow row;
  in.number("n", row.sent.n);
  row.result.n = row.sent.n;
  in.number("dispatched_ms", row.sent.wall_ms);
  in.text("site", row.sent.site);
  in.text("seat", row.sent.seat);
  in.text("device", row.sent.device);
  in.text("engine", row.sent.engine);
  in.text("vendor", row.sent.vendor);
  in.text("contract", row.sent.contract);
  in.number("contract_version", row.sent.contract_version);
  in.text("fault", row.result.fault);
  in.text("side", row.result.side);
  in.number("delivered", row.result.delivered);
  in.number("pieces", row.result.pieces);
  in.number("bytes", row.result.bytes);
  if (!in.is_null("claimed")) in.counts("claimed", row.result.claimed.emplace());
  row.rated = !in.is_null("billed");
  if (row.rated) {
    in.counts("billed", row.billed);
    in.amount("charge", row.gross, gross_pico_end);
  }
  return row;
}

UsageRow take_usage(Taker in, std::string& why) {
  UsageRow row;
  std::string word;
  in.text("request", word);
  if (const auto id = RequestId::parse(word)) row.id = *id;
  else in.wrong("request", "is not 32 lower-case hex digits");
  in.number("lsn", row.lsn);
  in.number("batch", row.batch);
  in.word("state", row.state, State::quarantined, [](State s) { return name(s); });
  in.text("tenant", row.tenant);
  in.text("model", row.model);
  in.text("operation", row.operation);
  in.word("outcome", row.outcome, metering::Outcome::quarantined, [](metering::Outcome o) { return metering::name(o); });
  in.number("status", row.status);
  in.word("source", row.source, metering::CountSource::estimate, [](metering::CountSource s) { return metering::name(s); });
  in.number("admitted_ms", row.admit_ms);
  in.number("ended_ms", row.final_ms);
  in.number("period", row.period);
  in.number("price_version", row.price_version);
  in.number("book_revision", row.book_revision);
  in.counts("tokens", row.counts);
  in.number("bytes_delivered", row.bytes_delivered);
  if (!in.is_null("charge")) in.amount("charge", row.gross.emplace(), gross_pico_end);
  std::vector<Part> parts;
  in.list("parts", metering::record_attempts_max * money::parties_max, [&](const bj::value& value, const std::string& path) {
    Taker one(value, path, why);
    Part& part = parts.emplace_back();
    one.number("attempt", part.attempt);
    one.text("party", part.party);
    one.text("contract", part.contract);
    one.number("contract_version", part.contract_version);
    one.amount("amount", part.amount);
    if (part.amount.pico() >= gross_pico_end || -part.amount.pico() >= gross_pico_end) one.wrong("amount", "is not an amount of its range");
  });
  std::vector<AttemptRow> attempts;
  in.list("attempts", metering::record_attempts_max,
          [&](const bj::value& value, const std::string& path) { attempts.push_back(take_attempt(Taker(value, path, why))); });
  encode_detail(row, attempts, parts);
  in.digest("key_hash", row.key_hash);
  in.text("content_hash", word);
  if (auto bytes = read_digits(word, 16)) row.content_hash = std::move(*bytes);
  else in.wrong("content_hash", "is not 32 lower-case hex digits");
  return row;
}

TransferRow take_transfer(Taker in, std::string& why) {
  constexpr std::size_t legs_max = 100'000;
  TransferRow row;
  in.number("transfer", row.id);
  in.number("batch", row.batch);
  in.number("code", row.code);
  in.text("reason", row.reason);
  in.number("effective_ms", row.effective_at);
  in.number("booked_ms", row.booked_at);
  in.number("period", row.period);
  if (!in.is_null("reverses")) in.number("reverses", row.reverses.emplace());
  in.text("document", row.doc_id);
  in.list("legs", legs_max, [&](const bj::value& value, const std::string& path) {
    Taker one(value, path, why);
    Leg& leg = row.legs.emplace_back();
    one.text("account", leg.account);
    one.amount("amount", leg.amount);
  });
  return row;
}

BatchRow take_batch(Taker in) {
  BatchRow batch;
  in.number("shard", batch.shard);
  in.number("id", batch.id);
  in.number("from_lsn", batch.from_lsn);
  in.number("to_lsn", batch.to_lsn);
  in.number("booked_ms", batch.booked_at);
  in.number("period_from", batch.period_from);
  in.number("period_to", batch.period_to);
  in.number("leaves", batch.n);
  in.number("billed", batch.billed);
  in.number("voided", batch.voided);
  in.number("quarantined", batch.quarantined);
  in.number("duplicates", batch.duplicates);
  in.number("commands", batch.commands);
  in.number("transfers", batch.transfers);
  in.number("legs", batch.legs);
  in.amount("charged", batch.gross);
  in.amount("debit", batch.debit);
  in.amount("credit", batch.credit);
  in.digest("merkle_root", batch.merkle_root);
  in.digest("journal_hash", batch.journal_hash);
  in.digest("prev_hash", batch.prev_hash);
  in.digest("hash", batch.hash);
  return batch;
}

// Where two documents part: "row.admitted_at"; empty: nowhere.
std::string differs(const bj::value& a, const bj::value& b, const std::string& path) {
  if (a == b) return {};
  if (a.is_object() && b.is_object()) {
    for (const auto& [key, value] : a.get_object()) {
      const std::string at = path + (path.empty() ? "" : ".") + std::string(key);
      const bj::value* const other = b.get_object().if_contains(key);
      if (other == nullptr) return at;
      if (auto place = differs(value, *other, at); !place.empty()) return place;
    }
  }
  return path.empty() ? "the file" : path;
}

}  // namespace

std::string proof_text(const Proof& proof) {
  std::string out;
  print(document(proof), "", out);
  return out + '\n';
}

std::optional<Proof> read_proof(std::string_view text, std::string& why) {
  why.clear();
  json::Cursor strict(text, {.depth = 16, .unique_keys = true});
  if (text.size() > proof_bytes_max) why = "the file is too large for a proof";
  else if (strict.skip(); !strict.finish()) why = std::string("not JSON: ") + (strict.error() ? strict.error() : "more than one value");
  if (!why.empty()) return std::nullopt;
  boost::system::error_code ec;
  const bj::value file = bj::parse(text, ec);
  if (ec) why = "not JSON: " + ec.message();
  Proof out;
  Taker top(file, "", why);
  std::string word;
  top.text("format", word);
  if (why.empty() && word != format) why = "`format` is not " + std::string(format);
  top.text("kind", word);
  const bj::value* const row = top.any("row");
  const bj::value* const leaf = top.any("leaf");
  const bj::value* const batch = top.any("batch");
  const bj::value* const over = top.any("checkpoint");
  if (!why.empty()) return std::nullopt;
  if (word == "usage") out.row = take_usage(Taker(*row, "row.", why), why);
  else if (word == "transfer") out.row = take_transfer(Taker(*row, "row.", why), why);
  else top.wrong("kind", "is neither usage nor transfer");
  Taker in(*leaf, "leaf.", why);
  std::visit([&](auto& one) { in.digest("hash", one.leaf); }, out.row);
  in.number("index", out.index);
  take_digests(in, "siblings", out.siblings);
  out.batch = take_batch(Taker(*batch, "batch.", why));
  take_digests(top, "batch_siblings", out.batch_siblings);
  if (auto checkpoint = read_checkpoint(bj::serialize(*over))) out.checkpoint = std::move(*checkpoint);
  else top.wrong("checkpoint", "is not a checkpoint as it was written");
  if (!why.empty()) return std::nullopt;
  if (const auto place = differs(file, document(out), ""); !place.empty()) {
    why = "`" + place + "` does not belong there, or was altered";
    return std::nullopt;
  }
  return out;
}

}  // namespace trib::ledger
