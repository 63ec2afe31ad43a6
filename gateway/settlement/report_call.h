// One report in the making. Private to report*.cpp.
#pragma once
#include <map>
#include <memory>
#include <string>

#include "gateway/settlement/report.h"

namespace trib::settlement {

class ReportCall {
 public:
  ReportCall(ledger::Ledger& ledger, const ReportQuestion& question, std::string name, std::string title) : ledger_(ledger), ask_(question) {
    out.name = std::move(name);
    out.title = std::move(title);
  }
  bool begin();  // false: the report says why

  void books();
  void bank();
  void receipts();
  void upstream();
  void partner();
  void holds();
  void quarantine();
  void suspense();
  void unpriced();
  void margin();

  Report out;

 private:
  bool explained(const std::string& subject) { return reader_->command("explained:" + subject).has_value(); }
  void find(std::string subject, std::string why, std::vector<std::pair<std::string, std::string>> records = {});
  ledger::MeterReport meters();
  // Calls `visit(period)` for each month that the range touches.
  template <class Visit>
  void months(const Visit& visit) const {
    for (auto period = ledger::period_of(ask_.from_ms); period <= ledger::period_of(ask_.to_ms - 1); period = ledger::next_period(period)) visit(period);
  }

  ledger::Ledger& ledger_;
  const ReportQuestion& ask_;
  std::unique_ptr<ledger::Reader> reader_;
};

std::string quoted(std::string_view text);  // as JSON

}  // namespace trib::settlement
