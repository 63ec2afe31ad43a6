// One JSON object a line; amounts are texts, what is unknown is null.
#include "gateway/base/json.h"
#include "gateway/settlement/sheet.h"

namespace trib::settlement {
namespace {

class JsonlWriter final : public SheetWriter {
 public:
  explicit JsonlWriter(const std::vector<std::string>& columns) : columns_(columns) {}
  void cell(std::size_t column, Cell kind, std::string_view value) override {
    key(columns_[column]);
    switch (kind) {
      case Cell::text:
      case Cell::amount: json::quote(value, out_); break;
      case Cell::number: out_ += value; break;
      case Cell::none: out_ += "null"; break;
    }
  }
  void member(std::string_view name, std::string_view json) override {
    key(name);
    out_ += json;
  }
  void end_row() override {
    out_ += "}\n";
    first_ = true;
  }
  std::size_t size() const override { return out_.size(); }
  std::string take(std::string&) override { return std::move(out_); }

 private:
  void key(std::string_view name) {
    out_ += first_ ? '{' : ',';
    first_ = false;
    json::quote(name, out_);
    out_ += ':';
  }
  const std::vector<std::string> columns_;
  bool first_ = true;
  std::string out_;
};

}  // namespace

std::unique_ptr<SheetWriter> jsonl_writer(const std::vector<std::string>& columns) { return std::make_unique<JsonlWriter>(columns); }

}  // namespace trib::settlement
