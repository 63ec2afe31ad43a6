#include "gateway/settlement/report_file.h"

#include <algorithm>
#include <charconv>

#include "gateway/base/json.h"

namespace trib::settlement {

std::string_view shipped_layout(std::string_view report) {
  if (report == "bank") return R"({"separator": ",", "columns": {"reference": "reference", "amount": "amount"}})";
  if (report == "upstream") return R"({"separator": ",", "columns": {"site": "site", "model": "model", "class": "class", "tokens": "tokens"}})";
  if (report == "partner") return R"({"separator": ",", "columns": {"statement": "statement", "amount": "amount", "invoice": "invoice"}})";
  return {};
}

FileReader::FileReader(const ReportFile& file, std::string_view layout, std::vector<std::string> wanted)
    : file_(file), layout_(file.layout.empty() ? layout : std::string_view(file.layout)), wanted_(std::move(wanted)) {}

bool FileReader::wrong(std::size_t line, std::size_t column, const std::string& why) {
  if (error_.empty()) error_ = file_.name + ":" + std::to_string(line) + ":" + std::to_string(column) + ": " + why;
  return false;
}

bool FileReader::read_layout() {
  json::Cursor cursor(layout_, {.depth = 3, .unique_keys = true});
  std::string_view key;
  std::string text;
  bool fine = cursor.enter_object();
  while (fine && cursor.next_key(key)) {
    if (key == "separator") {
      fine = cursor.read_string(text) && text.size() == 1;
      if (fine) separator_ = text.front();
    } else if (key == "columns") {
      fine = cursor.enter_object();
      while (fine && cursor.next_key(key)) {
        std::string name(key);
        if ((fine = cursor.read_string(text))) names_[std::move(name)] = text;
      }
    } else {
      fine = false;
    }
  }
  if (!fine || !cursor.finish()) error_ = "the layout is not {\"separator\": \",\", \"columns\": {\"OURS\": \"THE FILE'S\"}}; see configs/reports";
  for (const auto& one : wanted_)
    if (error_.empty() && !names_.contains(one)) error_ = "the layout names no column for `" + one + "`";
  return error_.empty();
}

// The cells of one line; false at the end of the file, or where it is wrong.
bool FileReader::next_line(std::vector<Cell>& cells) {
  cells.clear();
  const std::string& text = file_.text;
  if (at_ >= text.size()) return false;
  row_line_ = line_;
  std::size_t begin = at_;  // of the line, for columns
  for (;;) {
    Cell cell{{}, at_ - begin + 1};
    if (at_ < text.size() && text[at_] == '"') {
      const std::size_t line = line_, column = cell.column;
      for (++at_;; ++at_) {
        if (at_ >= text.size()) return wrong(line, column, "a quote that does not end");
        if (text[at_] == '"' && at_ + 1 < text.size() && text[at_ + 1] == '"') ++at_;
        else if (text[at_] == '"') break;
        if (text[at_] == '\n') {
          ++line_;
          begin = at_ + 1;
        }
        cell.text += text[at_];
      }
      ++at_;
      if (at_ < text.size() && text[at_] != separator_ && text[at_] != '\n' && text[at_] != '\r')
        return wrong(line_, at_ - begin + 1, "text after a quote");
    } else {
      while (at_ < text.size() && text[at_] != separator_ && text[at_] != '\n' && text[at_] != '\r') {
        if (text[at_] == '"') return wrong(line_, at_ - begin + 1, "a quote inside a cell that does not begin with one");
        cell.text += text[at_++];
      }
    }
    cells.push_back(std::move(cell));
    if (at_ < text.size() && text[at_] == separator_) {
      ++at_;
      continue;
    }
    if (at_ < text.size() && text[at_] == '\r') ++at_;
    if (at_ < text.size() && text[at_] == '\n') ++at_;
    else if (at_ < text.size()) return wrong(line_, at_ - begin + 1, "a carriage return inside a line");
    ++line_;
    return true;
  }
}

bool FileReader::read() {
  if (!read_layout()) return false;
  if (!json::valid_utf8(file_.text)) return wrong(1, 1, "not UTF-8; save the file in that encoding");
  if (file_.text.compare(0, 3, "\xEF\xBB\xBF") == 0) at_ = 3;
  std::vector<Cell> cells;
  if (!next_line(cells)) return wrong(1, 1, "an empty file; its first line names the columns");
  std::map<std::string, std::size_t> place;  // by the report's name
  for (const auto& one : wanted_) {
    const auto found = std::find_if(cells.begin(), cells.end(), [&](const Cell& cell) { return cell.text == names_[one]; });
    if (found == cells.end()) return wrong(1, 1, "no column `" + names_[one] + "`; name the file's columns in a layout");
    place[one] = static_cast<std::size_t>(found - cells.begin());
  }
  const std::size_t width = cells.size();
  while (next_line(cells)) {
    if (cells.size() == 1 && cells[0].text.empty()) continue;  // an empty line
    if (cells.size() != width)
      return wrong(row_line_, cells.back().column, std::to_string(cells.size()) + " cells, not " + std::to_string(width) + " as in the first line");
    if (rows_.size() == report_lines_max) return wrong(row_line_, 1, "more than " + std::to_string(report_lines_max) + " lines; split the file");
    FileRow& row = rows_.emplace_back();
    row.line = row_line_;
    for (const auto& [name, at] : place) {
      row.cells[name] = std::move(cells[at].text);
      row.columns[name] = cells[at].column;
    }
  }
  return error_.empty();
}

std::optional<money::Amount> FileReader::amount(const FileRow& row, const std::string& column) {
  const auto& text = row.cells.at(column);
  auto out = money::Amount::parse(text);
  if (!out) wrong(row.line, row.columns.at(column), "`" + text + "` is not an amount such as 1234.50");
  return out;
}

std::optional<std::uint64_t> FileReader::count(const FileRow& row, const std::string& column) {
  const auto& text = row.cells.at(column);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size() && !text.empty() && value < (1ull << 60)) return value;
  wrong(row.line, row.columns.at(column), "`" + text + "` is not a whole number of tokens");
  return std::nullopt;
}

}  // namespace trib::settlement
