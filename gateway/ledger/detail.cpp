#include "gateway/ledger/detail.h"

#include <algorithm>
#include <array>

#include "gateway/ledger/bytes.h"

namespace trib::ledger {
namespace {

constexpr std::uint8_t format_version = 2;

// Who a part is of, as its party's name begins. `whole` is followed by the name.
enum class Party : std::uint8_t { whole, vat, platform, site, vendor, referrer };
constexpr std::string_view site_prefix = "site:", vendor_prefix = "vendor:", referrer_prefix = "referrer:";
constexpr std::uint64_t own_contract = 8;  // added where the contract is not that of the attempt and follows

// What an attempt has of its own beside what was dispatched.
constexpr std::uint64_t has_claim = 1, claims_all = 2, is_rated = 4, billed_all = 8, whole_charge = 16, marks_end = 32;

// A row's gross is below a million CNY, and so are its parts: 64 bits of pico hold them.
std::int64_t pico64(money::Amount amount) {
  TRIB_ASSERT(amount.pico() < gross_pico_end && -amount.pico() < gross_pico_end);
  return static_cast<std::int64_t>(amount.pico());
}

money::Amount take_amount(ByteReader& r) {
  const auto pico = static_cast<money::int128>(r.signed_number());
  r.require(pico < gross_pico_end && -pico < gross_pico_end);
  return money::Amount::pico(pico);
}

// An attempt, wherever its fields stand.
struct AttemptView {
  const metering::Attempt& sent;
  const metering::AttemptResult& result;
  const metering::TokenCounts* billed;  // null: nothing was
  money::Amount gross;
};

constexpr auto texts = [](auto& sent) { return std::array{&sent.site, &sent.seat, &sent.device, &sent.engine, &sent.vendor, &sent.contract}; };

void put_facts(ByteWriter& w, const UsageRow& row) {
  w.number(format_version);
  w.name(row.operation);
  w.number(static_cast<std::uint64_t>(row.outcome));
  w.number(row.status);
  w.number(static_cast<std::uint64_t>(row.source));
  w.difference(row.admit_ms, row.final_ms);
  w.number(row.price_version);
  w.number(row.book_revision);
  w.counts(row.counts);
  w.number(row.bytes_delivered);
}

void take_facts(ByteReader& r, UsageRow& row) {
  r.require(r.number() == format_version);
  r.name(row.operation);
  row.outcome = static_cast<metering::Outcome>(r.small<std::uint8_t>());
  row.status = r.small<std::uint16_t>();
  row.source = static_cast<metering::CountSource>(r.small<std::uint8_t>());
  row.admit_ms = r.difference(row.final_ms);
  row.price_version = r.small<std::uint32_t>();
  row.book_revision = r.number();
  row.counts = r.counts();
  row.bytes_delivered = r.number();
}

void put_attempt(ByteWriter& w, const UsageRow& row, const AttemptView& attempt) {
  const auto& [sent, result, billed, gross] = attempt;
  w.number(sent.n);
  w.difference(sent.wall_ms, row.admit_ms);
  for (const auto* text : texts(sent)) w.name(*text);
  w.number(sent.contract_version);
  w.name(result.fault);
  w.name(result.side);
  for (const auto n : {result.delivered, result.pieces, result.bytes}) w.number(n);
  const bool claims_same = result.claimed == row.counts, billed_same = billed != nullptr && *billed == row.counts;
  const bool charged_same = billed != nullptr && row.gross == gross;
  w.number((result.claimed ? has_claim : 0) | (claims_same ? claims_all : 0) | (billed != nullptr ? is_rated : 0) |
           (billed_same ? billed_all : 0) | (charged_same ? whole_charge : 0));
  if (result.claimed && !claims_same) w.counts(*result.claimed);
  if (billed != nullptr && !billed_same) w.counts(*billed);
  if (billed != nullptr && !charged_same) w.signed_number(pico64(gross));
}

void take_attempt(ByteReader& r, const UsageRow& row, AttemptRow& to) {
  metering::Attempt& sent = to.sent;
  sent.id = row.id;
  sent.n = to.result.n = r.small<std::uint16_t>();
  sent.wall_ms = r.difference(row.admit_ms);
  for (auto* text : texts(sent)) r.name(*text);
  sent.contract_version = r.small<std::uint32_t>();
  r.name(to.result.fault);
  r.name(to.result.side);
  for (auto* n : {&to.result.delivered, &to.result.pieces, &to.result.bytes}) *n = r.number();
  const std::uint64_t marks = r.number();
  const auto has = [&](std::uint64_t mark) { return (marks & mark) != 0; };
  r.require(marks < marks_end && (has(has_claim) || !has(claims_all)) && (has(is_rated) || !has(billed_all | whole_charge)) &&
            (row.gross || !has(whole_charge)));
  if (!r.ok()) return;
  if (has(has_claim)) to.result.claimed = has(claims_all) ? row.counts : r.counts();
  to.rated = has(is_rated);
  if (!to.rated) return;
  to.billed = has(billed_all) ? row.counts : r.counts();
  to.gross = has(whole_charge) ? *row.gross : take_amount(r);
}

bool is_of(std::string_view party, std::string_view prefix, std::string_view name) {
  return party.size() == prefix.size() + name.size() && party.starts_with(prefix) && party.ends_with(name);
}

Party party_of(const Part& part, const metering::Attempt* sent) {
  if (part.party == "platform") return Party::platform;
  if (part.party == "vat") return Party::vat;
  if (sent != nullptr && is_of(part.party, site_prefix, sent->site)) return Party::site;
  if (sent != nullptr && is_of(part.party, vendor_prefix, sent->vendor)) return Party::vendor;
  return part.party.starts_with(referrer_prefix) ? Party::referrer : Party::whole;
}

void put_part(ByteWriter& w, const Part& part, const metering::Attempt* sent) {
  const Party party = party_of(part, sent);
  const bool own = sent == nullptr || part.contract != sent->contract || part.contract_version != sent->contract_version;
  w.number(part.attempt);
  w.number(static_cast<std::uint64_t>(party) + (own ? own_contract : 0));
  if (party == Party::whole) w.name(part.party);
  if (party == Party::referrer) w.name(std::string_view(part.party).substr(referrer_prefix.size()));
  if (own) {
    w.name(part.contract);
    w.number(part.contract_version);
  }
  w.signed_number(pico64(part.amount));
}

void take_part(ByteReader& r, const std::vector<AttemptRow>& attempts, Part& to) {
  to.attempt = r.small<std::uint16_t>();
  const auto at = std::find_if(attempts.begin(), attempts.end(), [&](const AttemptRow& a) { return a.sent.n == to.attempt; });
  const metering::Attempt* const sent = at == attempts.end() ? nullptr : &at->sent;
  const std::uint64_t word = r.number();
  const bool own = (word & own_contract) != 0;
  r.require(word < 2 * own_contract && (own || sent != nullptr));
  if (!r.ok()) return;
  std::string name;
  switch (static_cast<Party>(word & (own_contract - 1))) {
    case Party::whole: r.name(to.party); break;
    case Party::vat: to.party = "vat"; break;
    case Party::platform: to.party = "platform"; break;
    case Party::referrer:
      r.name(name);
      to.party.assign(referrer_prefix).append(name);
      break;
    case Party::site:
      r.require(sent != nullptr);
      if (sent != nullptr) to.party.assign(site_prefix).append(sent->site);
      break;
    case Party::vendor:
      r.require(sent != nullptr);
      if (sent != nullptr) to.party.assign(vendor_prefix).append(sent->vendor);
      break;
    default: r.require(false);
  }
  if (own) {
    r.name(to.contract);
    to.contract_version = r.small<std::uint32_t>();
  } else {
    to.contract = sent->contract;
    to.contract_version = sent->contract_version;
  }
  to.amount = take_amount(r);
}

// `attempt(i)` is one of `count`; nothing of them is copied.
template <class View>
void encode(UsageRow& row, std::size_t count, const View& attempt, const std::vector<Part>& parts) {
  thread_local ByteWriter w;
  w.clear();
  put_facts(w, row);
  w.number(count);
  for (std::size_t i = 0; i < count; ++i) put_attempt(w, row, attempt(i));
  w.number(parts.size());
  for (const Part& part : parts) {
    const metering::Attempt* sent = nullptr;
    for (std::size_t i = 0; sent == nullptr && i < count; ++i) {
      const metering::Attempt& one = attempt(i).sent;
      if (one.n == part.attempt) sent = &one;
    }
    put_part(w, part, sent);
  }
  row.detail = w.written();
}

}  // namespace

void encode_detail(UsageRow& row, const metering::Final& final, const Rated& rated) {
  const auto view = [&](std::size_t i) {
    const metering::Attempt& sent = final.attempts[i];
    const auto share = std::find_if(rated.shares.begin(), rated.shares.end(), [&](const AttemptShare& s) { return s.attempt == sent.n; });
    const bool billed = share != rated.shares.end();
    return AttemptView{sent, final.results[i], billed ? &share->counts : nullptr, billed ? share->gross : money::Amount{}};
  };
  encode(row, std::min(final.attempts.size(), final.results.size()), view, rated.parts);
}

void encode_detail(UsageRow& row, const std::vector<AttemptRow>& attempts, const std::vector<Part>& parts) {
  const auto view = [&](std::size_t i) {
    const AttemptRow& one = attempts[i];
    return AttemptView{one.sent, one.result, one.rated ? &one.billed : nullptr, one.gross};
  };
  encode(row, attempts.size(), view, parts);
}

bool decode_detail(UsageRow& row, std::vector<AttemptRow>& attempts, std::vector<Part>& parts) {
  attempts.clear();
  parts.clear();
  ByteReader r(row.detail);
  take_facts(r, row);
  for (std::uint64_t left = r.number(); r.ok() && left > 0; --left) take_attempt(r, row, attempts.emplace_back());
  for (std::uint64_t left = r.number(); r.ok() && left > 0; --left) take_part(r, attempts, parts.emplace_back());
  return r.done();
}

}  // namespace trib::ledger
