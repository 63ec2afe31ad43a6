// What people ask of finance's desk during the quarter: seeded orders about requests, accounts and partners.
// Many of them are refused, as in life: the oracle must refuse the same.
#pragma once
#include <string>
#include <vector>

#include "gateway/settlement/settlement.h"
#include "tests/quarter/facts.h"

namespace trib::quarter {

class People {
 public:
  People(Rng& rng, const Terms& terms) : rng_(rng), terms_(terms) {}
  void saw(const metering::Final& final);                          // a request that an order may be about
  void told(const settlement::Order& order, bool posted);          // what came of one
  void paid(const std::string& tenant, const std::string& topup);
  settlement::Order next(std::int64_t wall_ms);

 private:
  struct Served {
    std::string id, tenant;
  };
  std::string amount(std::uint64_t pico_max);
  std::string fen(std::uint64_t fen_max);
  settlement::Order about_request();
  settlement::Order about_party(std::int64_t wall_ms);
  settlement::Order about_customer();
  settlement::Order chargeback_payment();
  settlement::Order reprice(std::int64_t wall_ms);

  Rng& rng_;
  const Terms& terms_;
  std::vector<Served> served_;
  std::vector<std::string> disputed_;
  std::vector<std::pair<std::string, std::string>> payments_;  // tenant, top-up
  std::uint64_t orders_ = 0;
};

}  // namespace trib::quarter
