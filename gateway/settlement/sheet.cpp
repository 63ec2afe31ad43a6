#include "gateway/settlement/sheet.h"

#include "gateway/base/json.h"

namespace trib::settlement {
namespace {

// A spreadsheet takes a text that begins like this for a formula.
bool formula(std::string_view text) {
  return !text.empty() && std::string_view("=+-@\t\r").find(text.front()) != std::string_view::npos;
}

void csv_text(std::string_view text, std::string& out) {
  const bool guard = formula(text);
  if (!guard && text.find_first_of(",\"\n\r") == std::string_view::npos) {
    out += text;
    return;
  }
  out += '"';
  if (guard) out += '\'';
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  out += '"';
}

}  // namespace

Sheet::Sheet(Format format, std::string_view name, std::vector<std::string> columns)
    : format_(format), columns_(std::move(columns)) {
  columns_.emplace_back("schema_version");
  file_.name = std::string(name) + (format == Format::csv ? ".csv" : ".jsonl");
  if (format != Format::csv) return;
  for (const auto& column : columns_) file_.content += (&column == &columns_.front() ? "" : ",") + column;
  file_.content += '\n';
}

void Sheet::cell(std::string_view raw, bool quoted) {
  TRIB_ASSERT(at_ < columns_.size());
  std::string& out = file_.content;
  if (format_ == Format::csv) {
    if (at_ > 0) out += ',';
    if (quoted) {
      csv_text(raw, out);
    } else {
      out += raw;
    }
  } else {
    out += at_ > 0 ? ',' : '{';
    json::quote(columns_[at_], out);
    out += ':';
    if (quoted) {
      json::quote(raw, out);
    } else {
      out += raw;
    }
  }
  ++at_;
}

Sheet& Sheet::text(std::string_view value) {
  cell(value, true);
  return *this;
}

Sheet& Sheet::number(std::uint64_t value) {
  cell(std::to_string(value), false);
  return *this;
}

Sheet& Sheet::amount(money::Amount value) {
  // A decimal text in both; in CSV a minus sign is no formula.
  const std::string text = value.text();
  cell(format_ == Format::csv ? text : '"' + text + '"', false);
  return *this;
}

Sheet& Sheet::none() {
  cell(format_ == Format::csv ? "" : "null", false);
  return *this;
}

Sheet& Sheet::extra(std::string_view key, std::string_view json) {
  if (format_ == Format::csv) return *this;
  file_.content += ',';
  json::quote(key, file_.content);
  file_.content += ':';
  file_.content += json;
  return *this;
}

void Sheet::end_row() {
  number(export_schema_version);
  TRIB_ASSERT(at_ == columns_.size());
  file_.content += format_ == Format::csv ? "\n" : "}\n";
  at_ = 0;
  ++file_.rows;
}

}  // namespace trib::settlement
