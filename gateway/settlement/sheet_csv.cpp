// RFC 4180 with LF, UTF-8.
#include <algorithm>

#include "gateway/settlement/sheet.h"

namespace trib::settlement {
namespace {

// A spreadsheet takes a text that begins like this for a formula; some take the full-width signs too.
bool formula(std::string_view text) {
  for (const std::string_view sign : {"=", "+", "-", "@", "\t", "\r", "\xef\xbc\x9d", "\xef\xbc\x8b", "\xef\xbc\x8d", "\xef\xbc\xa0"})
    if (text.starts_with(sign)) return true;
  return false;
}

class CsvWriter final : public SheetWriter {
 public:
  CsvWriter(const std::vector<std::string>& columns, bool bom) {
    if (bom) out_ = "\xef\xbb\xbf";
    for (std::size_t i = 0; i < columns.size(); ++i) cell(i, Cell::text, columns[i]);
    end_row();
  }
  void cell(std::size_t column, Cell kind, std::string_view value) override {
    if (column > 0) out_ += ',';
    kind == Cell::text ? text(value) : raw(value);
  }
  void end_row() override { out_ += '\n'; }
  std::size_t size() const override { return out_.size(); }
  std::string take(std::string&) override { return std::move(out_); }

 private:
  void raw(std::string_view value) { out_ += value; }
  void text(std::string_view value) {
    const bool guard = formula(value);
    if (!guard && value.find_first_of(",\"\n\r") == std::string_view::npos) return raw(value);
    out_ += '"';
    if (guard) out_ += '\'';
    for (const char c : value) {
      if (c == '"') out_ += '"';
      out_ += c;
    }
    out_ += '"';
  }
  std::string out_;
};

}  // namespace

std::unique_ptr<SheetWriter> csv_writer(const std::vector<std::string>& columns, bool bom) { return std::make_unique<CsvWriter>(columns, bom); }

}  // namespace trib::settlement
