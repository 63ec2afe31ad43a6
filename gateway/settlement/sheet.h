// A table on its way to a file: one row at a time, columns in fixed order. Each format writes its cells in a
// file of its own: sheet_csv.cpp, sheet_jsonl.cpp, sheet_xlsx.cpp.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/money/money.h"
#include "gateway/settlement/settlement.h"

namespace trib::settlement {

constexpr int export_schema_version = 2;  // stands in the last column of every row
constexpr std::string_view currency = "CNY";

enum class Cell {
  text,
  number,  // a whole number, not money
  amount,  // a decimal text, exact
  none,    // unknown, or not for this reader
};

// One format's way to write a table. Cells come left to right, each row with all of them.
class SheetWriter {
 public:
  virtual ~SheetWriter() = default;
  virtual void cell(std::size_t column, Cell kind, std::string_view value) = 0;
  virtual void member(std::string_view /*key*/, std::string_view /*json*/) {}  // no column; where the format has such
  virtual void end_row() = 0;
  virtual std::size_t size() const = 0;  // bytes so far, about
  virtual std::string take(std::string& why) = 0;  // the file, once; empty with the reason when it failed
};
std::unique_ptr<SheetWriter> csv_writer(const std::vector<std::string>& columns, bool bom);
std::unique_ptr<SheetWriter> jsonl_writer(const std::vector<std::string>& columns);
// The workbook has one sheet of this name; it says when the books were read, so that the same books give the
// same bytes. Rows go through a temporary file.
std::unique_ptr<SheetWriter> xlsx_writer(const std::vector<std::string>& columns, std::string_view name, std::int64_t made_ms);
// A small workbook of texts, such as an import file.
struct PlainTable {
  std::string name;
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
};
std::string xlsx_book(const std::vector<PlainTable>& tables, std::int64_t made_ms, std::string& why);
constexpr std::uint64_t xlsx_rows_max = 1'048'575;  // under the header

struct SheetForm {
  Format format = Format::csv;  // csv, jsonl or xlsx
  bool bom = false;             // before a CSV file
  std::int64_t made_ms = 0;     // for what keeps a date
  bool versioned = true;        // false: somebody else's columns, without schema_version
};

class Sheet {
 public:
  Sheet(const SheetForm& form, std::string_view name, std::vector<std::string> columns);

  // Cells of a row, left to right; a row has all its cells before end_row().
  Sheet& text(std::string_view value) { return put(Cell::text, value); }
  Sheet& number(std::uint64_t value) { return put(Cell::number, std::to_string(value)); }
  Sheet& amount(money::Amount value) { return put(Cell::amount, value.text()); }
  Sheet& decimal(std::string_view value) { return put(Cell::amount, value); }  // an amount with places of its own
  Sheet& none() { return put(Cell::none, {}); }
  Sheet& text_or_none(std::string_view value) { return value.empty() ? none() : text(value); }
  // Where the format has such: a member that is no column, its value being JSON.
  Sheet& extra(std::string_view key, std::string_view json);
  void end_row();

  void add_debit(money::Amount value) { file_.sum_debit += value; }
  void add_credit(money::Amount value) { file_.sum_credit += value; }
  const std::string& name() const { return file_.name; }
  std::uint64_t rows() const { return file_.rows; }
  std::size_t size() const { return writer_->size(); }
  ExportFile take(std::string& why);

 private:
  Sheet& put(Cell kind, std::string_view value);
  const bool versioned_;
  std::size_t columns_;
  std::size_t at_ = 0;
  ExportFile file_;
  std::unique_ptr<SheetWriter> writer_;
};

}  // namespace trib::settlement
