// What one batch moves: usage aggregated into a few transfers a period, top-ups one by one. Pure.
#pragma once
#include <array>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "gateway/ledger/accounts.h"
#include "gateway/ledger/documents.h"
#include "gateway/ledger/rows.h"
#include "gateway/ledger/terms.h"

namespace trib::ledger {

constexpr std::uint64_t transfers_of_batch = 1'000'000;  // ids are batch * this + 0, 1, 2...

struct Turnover {
  money::Amount debit, credit;
};
struct SiteUse {
  std::uint64_t requests = 0;
  metering::TokenCounts counts;
  money::Amount gross;
};

class Postings {
 public:
  Postings() = default;
  Postings(const Postings&) = delete;  // it keeps where it was last
  Postings& operator=(const Postings&) = delete;
  void charge(const UsageRow& row, const metering::Final& final, const Rated& rated);
  void topup(const Topup& topup, std::string_view doc_id, std::int64_t wall_ms, Period period);
  void document(const DocumentTransfer& transfer, std::string_view document_id);

  // Builds the transfers: ids from batch * transfers_of_batch on, each summing to zero. Once, at the end.
  void finish(std::uint16_t shard, std::uint64_t batch, std::int64_t booked_at);

  std::vector<TransferRow> transfers;
  std::map<std::string, money::Amount> moved;  // by tenant: what documents and top-ups gave it
  std::map<std::pair<std::string, std::int32_t>, Turnover> balances;  // by account and period
  std::map<std::pair<std::string, std::int32_t>, SiteUse> sites;      // by site and period
  Turnover total;      // over all legs; debit equals credit
  std::size_t legs = 0;

 private:
  static constexpr std::array codes{Code::usage_charge,   Code::share_site,     Code::share_vendor, Code::share_referrer,
                                    Code::share_platform, Code::overrun,        Code::suspense};
  // By tenant or party. Who comes again is not sought again.
  struct Sums {
    std::unordered_map<std::string, money::Amount> of;
    std::pair<const std::string, money::Amount>* last = nullptr;
    void add(const std::string& who, money::Amount amount) {
      if (last == nullptr || last->first != who) last = &*of.try_emplace(who).first;
      last->second += amount;
    }
  };
  struct OfPeriod {
    std::int64_t effective_at = 0;  // of its latest request
    std::int64_t overrun_at = 0;    // likewise, of those that cost more than was held
    money::Amount vat;              // inside the charges
    // Requests of a period that is closed, by account: debit positive. When the latest of them ended.
    std::map<std::string, money::Amount> late;
    std::int64_t late_at = 0;
    std::array<Sums, codes.size()> sums;
  };
  static void add_sum(OfPeriod& period, Code code, const std::string& who, money::Amount amount);
  void add_usage(std::int32_t period, const OfPeriod& sums);
  void add_late(std::int32_t period, const OfPeriod& sums);
  TransferRow& begin(Code code, std::int32_t period, std::int64_t effective_at);
  SiteUse& use_of(const std::string& site, std::int32_t period);
  std::map<std::int32_t, OfPeriod> periods_;
  decltype(sites)::value_type* last_site_ = nullptr;
  std::vector<TransferRow> documents_;  // top-ups too
};

}  // namespace trib::ledger
