// A file from outside the house (bank, supplier, partner): CSV (RFC 4180, UTF-8, a header line), whose column names
// a layout gives. The layouts in configs/reports are data; a wrong line is named FILE:LINE:COLUMN. Private to the
// reports.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/money/money.h"
#include "gateway/settlement/report.h"

namespace trib::settlement {

inline constexpr std::size_t report_lines_max = 200'000;

struct FileRow {
  std::size_t line = 0;  // where it begins, from 1
  std::map<std::string, std::string> cells;       // by the report's name of the column
  std::map<std::string, std::size_t> columns;     // where each begins in its line, from 1
};

class FileReader {
 public:
  // `wanted`: the report's names of the columns that it needs.
  FileReader(const ReportFile& file, std::string_view layout, std::vector<std::string> wanted);
  bool read();  // false: see error()
  const std::vector<FileRow>& rows() const { return rows_; }
  const std::string& error() const { return error_; }

  // A cell's value; none, and error(), when it is not one.
  std::optional<money::Amount> amount(const FileRow& row, const std::string& column);
  std::optional<std::uint64_t> count(const FileRow& row, const std::string& column);

 private:
  struct Cell {
    std::string text;
    std::size_t column = 0;
  };
  bool read_layout();
  bool next_line(std::vector<Cell>& cells);
  bool wrong(std::size_t line, std::size_t column, const std::string& why);

  const ReportFile& file_;
  const std::string_view layout_;
  const std::vector<std::string> wanted_;
  std::map<std::string, std::string> names_;  // the report's name of a column -> the file's
  char separator_ = ',';
  std::size_t at_ = 0, line_ = 1, row_line_ = 1;
  std::vector<FileRow> rows_;
  std::string error_;
};

// The layouts that ship: the text of configs/reports/NAME.json.
std::string_view shipped_layout(std::string_view report);

}  // namespace trib::settlement
