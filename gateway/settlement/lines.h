// A party's month line by line: by day, model, site, price version and contract version, and what its
// documents moved, by day. Each line is a small statement, and the lines of a party sum to its statement.
#pragma once
#include <compare>
#include <map>
#include <string>
#include <vector>

#include "gateway/settlement/booked.h"
#include "gateway/settlement/reckon.h"

namespace trib::settlement {

struct LineKey {
  std::string party;
  std::string day;  // "2026-11-24", of the fact; before the period for what was late
  std::string model;  // empty: no request's, with the next four
  std::string site;   // also empty where the reader may not see it
  std::uint32_t price_version = 0;
  std::string contract;
  std::uint32_t contract_version = 0;
  friend auto operator<=>(const LineKey&, const LineKey&) = default;
};

// Whose lines are kept: empty, everybody's; else that party's alone, which sees no other party's name.
class Lines {
 public:
  Lines(ledger::Period period, std::string reader) : period_begin_ms_(ledger::period_begin_ms(period)), reader_(std::move(reader)) {}

  void add(const ledger::RequestRow& request, const ledger::Book& book);
  void add(const ledger::TransferRow& adjustment, ledger::Code as);
  // What a document changed of what customers paid: gross, refunds, VAT, on its day.
  void add(const ledger::Document& document, const Attached& attached, const ledger::Book& book);

  // The sums of a party's lines must be its statement; why not, or empty.
  std::string differs(const std::map<std::string, Statement>& statements) const;

  // Puts what the statement says once on each line: its number and version, a carry that runs from its opening
  // to its closing, and what is paid, and the payment fees, on a last line of its own, on the period's last day.
  std::vector<std::pair<LineKey, Statement>> running(const Statement& statement, ledger::Period period) const;

 private:
  Statement& of_documents(const std::string& party, std::int64_t effective_at);
  const std::int64_t period_begin_ms_;
  const std::string reader_;
  std::map<LineKey, Statement> lines_;
};

}  // namespace trib::settlement
