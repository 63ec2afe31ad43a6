// Office Open XML by libxlsxwriter. Texts and amounts are text cells: a spreadsheet neither runs nor rounds
// them. Counts are number cells.
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

// A workbook on disk. Rows of a sheet come in order; rows that are written do not stay in memory.
class Book {
 public:
  explicit Book(std::int64_t made_ms) : tmpdir_(folder_.path()), file_(folder_.path() + "/book.xlsx") {
    if (tmpdir_.empty()) {
      why_ = "no temporary folder could be made";
      return;
    }
    lxw_workbook_options options{};
    options.constant_memory = LXW_TRUE;
    options.tmpdir = tmpdir_.data();
    book_ = workbook_new_opt(file_.c_str(), &options);
    lxw_doc_properties properties{};
    properties.created = static_cast<std::time_t>(made_ms / 1000);
    workbook_set_properties(book_, &properties);
    bold_ = workbook_add_format(book_);
    format_set_bold(bold_);
  }
  ~Book() {
    if (book_ != nullptr) workbook_close(book_);
  }
  Book(const Book&) = delete;
  Book& operator=(const Book&) = delete;

  bool open() const { return book_ != nullptr; }
  lxw_worksheet* sheet(const std::string& name, const std::vector<std::string>& columns) {
    if (!open()) return nullptr;
    lxw_worksheet* const out = workbook_add_worksheet(book_, name.c_str());
    if (out == nullptr) {
      fail("a sheet cannot be called `" + name + "`");
      return nullptr;
    }
    worksheet_set_column(out, 0, static_cast<lxw_col_t>(columns.size() - 1), 18, nullptr);
    worksheet_freeze_panes(out, 1, 0);
    for (std::size_t i = 0; i < columns.size(); ++i) text(out, 0, i, columns[i], bold_);
    return out;
  }
  void text(lxw_worksheet* sheet, lxw_row_t row, std::size_t column, const std::string& value, lxw_format* format = nullptr) {
    note(worksheet_write_string(sheet, row, static_cast<lxw_col_t>(column), value.c_str(), format));
  }
  void number(lxw_worksheet* sheet, lxw_row_t row, std::size_t column, const std::string& value) {
    note(worksheet_write_number(sheet, row, static_cast<lxw_col_t>(column), static_cast<double>(std::strtoull(value.c_str(), nullptr, 10)), nullptr));  // tidy: allow float (a count; the library's type)
  }
  void fail(const std::string& why) {
    if (why_.empty()) why_ = why;
  }
  std::string take(std::string& why) {
    std::string out;
    if (open()) note(workbook_close(book_));
    book_ = nullptr;
    if (why_.empty()) {
      if (const auto ec = read_file(system_disk(), file_, out)) fail(ec.message());
    }
    why = why_;
    return why_.empty() ? std::move(out) : std::string();
  }

 private:
  void note(lxw_error error) {
    if (error != LXW_NO_ERROR) fail(lxw_strerror(error));
  }
  Folder folder_;
  std::string tmpdir_, why_;
  const std::string file_;
  lxw_workbook* book_ = nullptr;
  lxw_format* bold_ = nullptr;
};

class XlsxWriter final : public SheetWriter {
 public:
  XlsxWriter(const std::vector<std::string>& columns, std::string_view name, std::int64_t made_ms)
      : book_(made_ms), sheet_(book_.sheet(std::string(name.substr(0, LXW_SHEETNAME_MAX)), columns)) {}
  void cell(std::size_t column, Cell kind, std::string_view value) override {
    if (sheet_ == nullptr || row_ > xlsx_rows_max) return;
    size_ += value.size() + 16;
    if (kind == Cell::none) return;
    kind == Cell::number ? book_.number(sheet_, row_, column, std::string(value)) : book_.text(sheet_, row_, column, std::string(value));
  }
  void end_row() override {
    if (++row_ == xlsx_rows_max + 2)
      book_.fail("a sheet holds at most " + std::to_string(xlsx_rows_max) + " rows; export csv or jsonl, or one party at a time");
  }
  std::size_t size() const override { return size_; }
  std::string take(std::string& why) override { return book_.take(why); }

 private:
  Book book_;
  lxw_worksheet* const sheet_;
  lxw_row_t row_ = 1;
  std::size_t size_ = 0;
};

}  // namespace

std::unique_ptr<SheetWriter> xlsx_writer(const std::vector<std::string>& columns, std::string_view name, std::int64_t made_ms) {
  return std::make_unique<XlsxWriter>(columns, name, made_ms);
}

std::string xlsx_book(const std::vector<PlainTable>& tables, std::int64_t made_ms, std::string& why) {
  Book book(made_ms);
  for (const PlainTable& table : tables) {
    lxw_worksheet* const sheet = book.sheet(table.name, table.columns);
    if (table.rows.size() > xlsx_rows_max) book.fail("a sheet holds at most " + std::to_string(xlsx_rows_max) + " rows");
    if (sheet == nullptr || table.rows.size() > xlsx_rows_max) break;
    for (std::size_t i = 0; i < table.rows.size(); ++i)
      for (std::size_t k = 0; k < table.rows[i].size(); ++k)
        if (!table.rows[i][k].empty()) book.text(sheet, static_cast<lxw_row_t>(i + 1), k, table.rows[i][k]);
  }
  return book.take(why);
}

}  // namespace trib::settlement
