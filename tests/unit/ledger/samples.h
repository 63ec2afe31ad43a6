// Hand-built books and requests for the ledger's tests.
#pragma once
#include <string>
#include <vector>

#include "gateway/ledger/book.h"
#include "gateway/metering/metering.h"

namespace trib::test {

inline ledger::PriceVersion price_version(std::string model, std::uint32_t version, std::int64_t from_ms,
                                          std::int64_t input, std::int64_t cached, std::int64_t output) {
  ledger::PriceVersion out;
  out.model = std::move(model);
  out.version = version;
  out.from_ms = from_ms;
  out.input = out.cache_write = money::Price::pico_per_unit(input);
  out.cached_input = money::Price::pico_per_unit(cached);
  out.output = out.reasoning = money::Price::pico_per_unit(output);
  return out;
}

inline ledger::ContractVersion contract_version(std::string id, std::uint32_t version, config::Shares shares) {
  ledger::ContractVersion out;
  out.contract = std::move(id);
  out.version = version;
  out.shares = shares;
  return out;
}

// Model "m" at 2,000,000 / 333,333 / 8,000,001 pico; contract "c" 285/650/50/15 per mille.
inline ledger::Book golden_book() {
  ledger::Book book;
  book.prices["m"] = {price_version("m", 1, 0, 2'000'000, 333'333, 8'000'001)};
  auto contract = contract_version("c", 1, {285'000, 650'000, 50'000, 15'000});
  contract.referrer_party = "lianmeng";
  book.contracts["c"] = {contract};
  return book;
}

inline void add_attempt(metering::Final& final, std::string site, std::string vendor, std::uint64_t delivered,
                        std::string fault = "none", std::string contract = "c") {
  metering::Attempt attempt;
  attempt.id = final.admit.id;
  attempt.n = static_cast<std::uint16_t>(final.attempts.size() + 1);
  attempt.wall_ms = final.admit.wall_ms;
  attempt.site = std::move(site);
  attempt.engine = "127.0.0.1:9001";
  attempt.vendor = std::move(vendor);
  attempt.contract = std::move(contract);
  attempt.contract_version = 1;
  metering::AttemptResult result;
  result.n = attempt.n;
  result.fault = std::move(fault);
  result.side = result.fault == "none" ? "none" : "supply";
  result.delivered = result.pieces = delivered;
  result.bytes = delivered * 4;
  final.attempts.push_back(attempt);
  final.results.push_back(result);
}

// A completed request of tenant "acme" for model "m" without attempts yet.
inline metering::Final request(RequestId id, std::int64_t wall_ms, metering::TokenCounts counts) {
  metering::Final final;
  final.admit.id = id;
  final.admit.wall_ms = wall_ms;
  final.admit.tenant = "acme";
  final.admit.model = "m";
  final.admit.price_version = 1;
  final.admit.operation = "chat";
  final.admit.hold = money::Amount::pico(1'000'000'000'000'000'000);
  final.wall_ms = wall_ms + 500;
  final.outcome = metering::Outcome::completed;
  final.status = 200;
  final.counts = counts;
  final.source = metering::CountSource::exact;
  return final;
}

}  // namespace trib::test
