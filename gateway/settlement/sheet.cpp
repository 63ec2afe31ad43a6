#include "gateway/settlement/sheet.h"

namespace trib::settlement {
namespace {

std::unique_ptr<SheetWriter> writer_of(const SheetForm& form, std::string_view name, const std::vector<std::string>& columns) {
  if (form.format == Format::xlsx) return xlsx_writer(columns, name, form.made_ms);
  return form.format == Format::jsonl ? jsonl_writer(columns) : csv_writer(columns, form.bom);
}

std::string_view ending(Format format) {
  if (format == Format::xlsx) return ".xlsx";
  return format == Format::jsonl ? ".jsonl" : ".csv";
}

}  // namespace

Sheet::Sheet(const SheetForm& form, std::string_view name, std::vector<std::string> columns) : versioned_(form.versioned) {
  if (versioned_) columns.emplace_back("schema_version");
  columns_ = columns.size();
  file_.name = std::string(name).append(ending(form.format));
  writer_ = writer_of(form, name, columns);
}

Sheet& Sheet::put(Cell kind, std::string_view value) {
  TRIB_ASSERT(at_ < columns_);
  writer_->cell(at_++, kind, value);
  return *this;
}

Sheet& Sheet::extra(std::string_view key, std::string_view json) {
  writer_->member(key, json);
  return *this;
}

void Sheet::end_row() {
  if (versioned_) number(export_schema_version);
  TRIB_ASSERT(at_ == columns_);
  writer_->end_row();
  at_ = 0;
  ++file_.rows;
}

ExportFile Sheet::take(std::string& why) {
  file_.content = writer_->take(why);
  if (!why.empty()) why = file_.name + ": " + why;
  return std::move(file_);
}

}  // namespace trib::settlement
