#include "gateway/ledger/rating.h"

#include <algorithm>
#include <array>

#include "gateway/ledger/period.h"

namespace trib::ledger {
namespace {

using metering::AttemptResult;
using metering::Final;
using metering::TokenCounts;

constexpr std::uint64_t tokens_end = 1'000'000'000'000;  // more in one request is a broken meter

bool bounded(const TokenCounts& c) {
  return c.input < tokens_end && c.cached_input < tokens_end && c.cache_write < tokens_end && c.output < tokens_end &&
         c.reasoning < tokens_end;
}

// The attempt that input goes to: the first that delivered tokens; where none is counted (embeddings
// have no output) the first without a fault, then the first that sent anything. Negative: none.
int input_attempt(const std::vector<AttemptResult>& results) {
  const auto first = [&](auto&& which) {
    const auto found = std::find_if(results.begin(), results.end(), which);
    return found == results.end() ? -1 : static_cast<int>(found - results.begin());
  };
  int at = first([](const AttemptResult& r) { return r.delivered > 0; });
  if (at < 0) at = first([](const AttemptResult& r) { return r.fault == "none"; });
  if (at < 0) at = first([](const AttemptResult& r) { return r.pieces > 0 || r.bytes > 0; });
  return at;
}

// An answer without a word for which the input is billed by contract: it is that of the attempt at which the
// customer left.
bool input_alone(const Final& final) {
  return final.outcome == metering::Outcome::cancelled && final.counts.output + final.counts.reasoning == 0;
}

// Divides the billed tokens among the attempts. Returns why it cannot, or nothing.
std::string share_tokens(const Final& final, std::vector<TokenCounts>& out) {
  const auto& results = final.results;
  if (results.size() != final.attempts.size()) return "attempts and their results do not pair up";
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i].n != final.attempts[i].n) return "attempts and their results do not pair up";
    if (results[i].delivered >= tokens_end) return "a token count is out of bounds";
    if (i > 0 && results[i].n <= results[i - 1].n) return "attempts are out of order";
  }
  int first = input_attempt(results);
  if (first < 0 && input_alone(final)) {
    const auto left = std::find_if(results.rbegin(), results.rend(), [](const AttemptResult& r) { return r.side == name(Side::client); });
    first = static_cast<int>(results.rend() - left) - 1;  // none: -1
  }
  if (first < 0) return "tokens are billed but no attempt delivered";
  const auto at = static_cast<std::size_t>(first);

  if (results.size() == 1) {  // nearly always
    out.assign(1, final.counts);
    return {};
  }
  out.assign(results.size(), {});
  std::vector<std::uint64_t> weights(results.size(), 0);
  std::uint64_t delivered = 0;
  for (std::size_t i = 0; i < results.size(); ++i) delivered += weights[i] = results[i].delivered;
  if (delivered == 0) weights[at] = 1;
  const TokenCounts& c = final.counts;
  // Reasoning is apportioned by what each attempt got of the whole, so that it never exceeds it.
  const auto whole = money::apportion(c.output + c.reasoning, weights);
  const auto reasoning = money::apportion(c.reasoning, whole);
  for (std::size_t i = 0; i < out.size(); ++i) {
    out[i].reasoning = reasoning[i];
    out[i].output = whole[i] - reasoning[i];
  }
  out[at].input = c.input;
  out[at].cached_input = c.cached_input;
  out[at].cache_write = c.cache_write;
  return {};
}

// Who shares, in the contract's fixed order.
struct Weighted {
  static constexpr std::size_t kinds = 4;
  std::array<std::string, kinds> parties;
  std::array<std::uint32_t, kinds> weights{};
  std::size_t size = 0;
  void add(std::string_view kind, std::string_view name, std::uint32_t ppm) {
    if (ppm == 0) return;
    parties[size].append(kind).append(name);
    weights[size++] = ppm;
  }
};

Weighted parties_of(const metering::Attempt& attempt, const ContractVersion& contract, std::int64_t admit_ms) {
  config::Shares shares = contract.shares;
  if (shares.referrer > 0 && !referrer_shares(contract, attempt.site, admit_ms)) {
    shares.platform += shares.referrer;
    shares.referrer = 0;
  }
  Weighted out;
  out.add("platform", {}, shares.platform);
  out.add("site:", attempt.site, shares.site);
  out.add("vendor:", attempt.vendor, shares.vendor);
  out.add("referrer:", contract.referrer_party, shares.referrer);
  return out;
}

// The VAT inside `gross`.
money::Amount vat_in(const PriceVersion& price, money::Amount gross) {
  if (!price.tax || !price.tax->inclusive || price.tax->percent == 0) return {};
  const money::int128 percent = price.tax->percent;
  return money::Amount::pico(gross.pico() * percent / (100 + percent));
}

// One attempt whose gross is divided.
struct Dividing {
  const metering::Attempt& attempt;
  const ContractVersion& contract;
  const Final& final;
  Part part(std::string party, money::Amount amount) const {
    return {attempt.n, std::move(party), attempt.contract, attempt.contract_version, amount};
  }
};

// Divides what an attempt brought. VAT in the price comes first: out of the base where that is net of it,
// else out of the platform's part, so that the others' shares are of the gross. Of a base that is not paid
// by the customer (`bought` is false) the platform pays the others.
void divide(const Dividing& d, money::Amount share, money::Amount vat, bool bought, std::vector<Part>& out) {
  const bool net = d.contract.base == config::ShareBase::net_of_vat;
  const money::Amount base = net ? share - vat : share;
  Weighted weighted = parties_of(d.attempt, d.contract, d.final.admit.wall_ms);
  std::array<money::Amount, Weighted::kinds> amounts;
  money::split_request(base, {weighted.weights.data(), weighted.size}, d.final.admit.id, {amounts.data(), weighted.size});
  const bool taxed = bought && !vat.zero();
  const bool platform_first = weighted.size > 0 && weighted.parties[0] == "platform";
  money::Amount borne = taxed && !net ? vat : money::Amount{};  // by the platform
  if (!bought) borne = base;
  out.reserve(out.size() + weighted.size + (taxed ? 1 : 0));
  if (taxed) out.push_back(d.part("vat", vat));
  if (!platform_first && !borne.zero()) out.push_back(d.part("platform", -borne));
  for (std::size_t k = 0; k < weighted.size; ++k) {
    if (k == 0 && platform_first) amounts[k] -= borne;
    out.push_back(d.part(std::move(weighted.parties[k]), amounts[k]));
  }
}

// The loser of a hedged pair has read the input for nothing; where its contract says so, it is paid for it.
void pay_losers(const Final& final, const std::vector<TokenCounts>& tokens, const PriceVersion& price, const Book& book,
                Rated& out) {
  TokenCounts input = final.counts;
  input.output = input.reasoning = 0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].total() != 0 || final.results[i].fault != name(FaultKind::outrun)) continue;
    const metering::Attempt& attempt = final.attempts[i];
    const ContractVersion* contract = book.contract(attempt.contract, attempt.contract_version);
    if (!contract || !contract->policies.pay_loser) continue;
    const money::Amount share = gross(price, input);
    divide({attempt, *contract, final}, share, vat_in(price, share), false, out.parts);
  }
}

std::string version_text(const std::string& id, std::uint32_t version) {
  return "\"" + id + "\" version " + std::to_string(version);
}

// Fills `out`; why it cannot, or nothing.
std::string divide_all(const Final& final, const Book& book, Rated& out) {
  if (final.outcome == metering::Outcome::quarantined) return "quarantined by the meter";
  if (!bounded(final.counts)) return "a token count is out of bounds";
  if (final.counts.total() == 0) return {};
  if (final.source == metering::CountSource::none) return "tokens are billed without a count source";
  const PriceVersion* price = book.price(final.admit.model, final.admit.price_version);
  if (!price) return "no price: model " + version_text(final.admit.model, final.admit.price_version);

  thread_local std::vector<TokenCounts> tokens;  // its memory is kept
  if (auto why = share_tokens(final, tokens); !why.empty()) return why;
  out.gross = gross(*price, final.counts);
  if (out.gross.pico() >= gross_pico_end) return "the charge is above the bound of one request";

  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i].total() == 0) continue;
    const metering::Attempt& attempt = final.attempts[i];
    const ContractVersion* contract = book.contract(attempt.contract, attempt.contract_version);
    if (!contract) return "no contract: " + version_text(attempt.contract, attempt.contract_version);
    if (contract->base == config::ShareBase::net_of_vat && !price->tax)
      return "no tax rate: model " + version_text(final.admit.model, final.admit.price_version) + ", and contract " +
             version_text(attempt.contract, attempt.contract_version) + " shares net of VAT";
    const money::Amount share = gross(*price, tokens[i]);
    out.shares.push_back({attempt.n, tokens[i], share});
    divide({attempt, *contract, final}, share, vat_in(*price, share), true, out.parts);
  }
  if (tokens.size() > 1) pay_losers(final, tokens, *price, book, out);
  return {};
}

}  // namespace

bool referrer_shares(const ContractVersion& contract, std::string_view site, std::int64_t admit_ms) {
  const bool ended = contract.referrer_until_ms && admit_ms >= day_end_ms(*contract.referrer_until_ms);
  return !ended && contract.referrer_party != site;
}

money::Amount gross(const PriceVersion& price, const TokenCounts& counts) {
  return money::charge(counts.input, price.input) + money::charge(counts.cached_input, price.cached_input) +
         money::charge(counts.cache_write, price.cache_write) + money::charge(counts.output, price.output) +
         money::charge(counts.reasoning, price.reasoning);
}

money::Amount worst_case(const PriceVersion& price, std::uint64_t input_tokens_max, std::uint64_t output_tokens_max) {
  // Any class may turn out to be the one that is billed.
  return money::charge(input_tokens_max, std::max({price.input, price.cached_input, price.cache_write})) +
         money::charge(output_tokens_max, std::max(price.output, price.reasoning));
}

Rated rate(const Final& final, const Book& book) {
  Rated out;
  rate(final, book, out);
  return out;
}

void rate(const Final& final, const Book& book, Rated& out) {
  const auto empty = [&] {
    out.gross = {};
    out.shares.clear();
    out.parts.clear();
  };
  empty();
  out.quarantine = divide_all(final, book, out);
  if (!out.quarantine.empty()) empty();
}

}  // namespace trib::ledger
