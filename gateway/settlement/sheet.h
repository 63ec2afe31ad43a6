// A table on its way to a file: one row at a time, as CSV or JSON Lines, columns in fixed order.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/money/money.h"
#include "gateway/settlement/settlement.h"

namespace trib::settlement {

constexpr int export_schema_version = 1;  // stands in the last column of every row
constexpr std::string_view currency = "CNY";

class Sheet {
 public:
  Sheet(Format format, std::string_view name, std::vector<std::string> columns);

  // Cells of a row, left to right; a row has all its cells before end_row().
  Sheet& text(std::string_view value);
  Sheet& number(std::uint64_t value);
  Sheet& amount(money::Amount value);
  Sheet& none();  // unknown, or not for this reader: an empty cell, null
  // JSON Lines only: a member that is no column, its value being JSON.
  Sheet& extra(std::string_view key, std::string_view json);
  void end_row();

  void add_debit(money::Amount value) { file_.sum_debit += value; }
  void add_credit(money::Amount value) { file_.sum_credit += value; }
  std::size_t size() const { return file_.content.size(); }
  ExportFile take() { return std::move(file_); }

 private:
  void cell(std::string_view raw, bool quoted);
  Format format_;
  std::vector<std::string> columns_;
  std::size_t at_ = 0;
  ExportFile file_;
};

}  // namespace trib::settlement
