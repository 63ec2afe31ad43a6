// Office Open XML by libxlsxwriter. Texts and amounts are text cells: a spreadsheet neither runs nor rounds
// them. Counts are number cells.
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <system_error>

#include <xlsxwriter.h>

#include "gateway/settlement/sheet.h"

namespace trib::settlement {
namespace {

// A folder of its own that goes when the workbook is done.
class Folder {
 public:
  Folder() {
    std::error_code ec;
    std::string name = (std::filesystem::temp_directory_path(ec) / "tributary-xlsx-XXXXXX").string();
    if (!ec && ::mkdtemp(name.data()) != nullptr) path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    if (!path_.empty()) std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

class XlsxWriter final : public SheetWriter {
 public:
  XlsxWriter(const std::vector<std::string>& columns, std::string_view name, std::int64_t made_ms) : file_(folder_.path() + "/book.xlsx") {
    if (folder_.path().empty()) {
      why_ = "no temporary folder could be made";
      return;
    }
    tmpdir_ = folder_.path();
    lxw_workbook_options options{};
    options.constant_memory = LXW_TRUE;
    options.tmpdir = tmpdir_.data();
    book_ = workbook_new_opt(file_.c_str(), &options);
    sheet_ = workbook_add_worksheet(book_, std::string(name.substr(0, LXW_SHEETNAME_MAX)).c_str());
    lxw_doc_properties properties{};
    properties.created = static_cast<std::time_t>(made_ms / 1000);
    workbook_set_properties(book_, &properties);
    lxw_format* const bold = workbook_add_format(book_);
    format_set_bold(bold);
    worksheet_set_column(sheet_, 0, static_cast<lxw_col_t>(columns.size() - 1), 18, nullptr);
    worksheet_freeze_panes(sheet_, 1, 0);
    for (std::size_t i = 0; i < columns.size(); ++i)
      note(worksheet_write_string(sheet_, 0, static_cast<lxw_col_t>(i), columns[i].c_str(), bold));
  }
  ~XlsxWriter() override {
    if (book_ != nullptr) workbook_close(book_);
  }
  void cell(std::size_t column, Cell kind, std::string_view value) override {
    if (book_ == nullptr || row_ > xlsx_rows_max) return;
    const auto at = static_cast<lxw_col_t>(column);
    size_ += value.size() + 16;
    if (kind == Cell::none) return;
    const std::string text(value);
    if (kind != Cell::number) return note(worksheet_write_string(sheet_, row_, at, text.c_str(), nullptr));
    note(worksheet_write_number(sheet_, row_, at, static_cast<double>(std::strtoull(text.c_str(), nullptr, 10)), nullptr));  // tidy: allow float (a count; the library's type)
  }
  void end_row() override {
    if (++row_ == xlsx_rows_max + 2 && why_.empty())
      why_ = "a sheet holds at most " + std::to_string(xlsx_rows_max) + " rows; export csv or jsonl, or one party at a time";
  }
  std::size_t size() const override { return size_; }
  std::string take(std::string& why) override {
    std::string out;
    if (book_ != nullptr) note(workbook_close(book_));
    book_ = nullptr;
    if (why_.empty()) {
      if (const auto ec = read_file(system_disk(), file_, out)) why_ = ec.message();
    }
    why = why_;
    return why_.empty() ? std::move(out) : std::string();
  }

 private:
  void note(lxw_error error) {
    if (error != LXW_NO_ERROR && why_.empty()) why_ = lxw_strerror(error);
  }
  Folder folder_;
  const std::string file_;
  std::string tmpdir_, why_;
  lxw_workbook* book_ = nullptr;
  lxw_worksheet* sheet_ = nullptr;
  lxw_row_t row_ = 1;
  std::size_t size_ = 0;
};

}  // namespace

std::unique_ptr<SheetWriter> xlsx_writer(const std::vector<std::string>& columns, std::string_view name, std::int64_t made_ms) {
  return std::make_unique<XlsxWriter>(columns, name, made_ms);
}

}  // namespace trib::settlement
