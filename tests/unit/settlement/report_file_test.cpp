// Files from outside the house: every wrong line is named by line and column.
#include "gateway/settlement/report_file.h"

#include "tests/catch.h"

using namespace trib;
using namespace trib::settlement;

namespace {

std::string error_of(const std::string& text, const std::string& layout = {}) {
  const ReportFile file{"bank.csv", text, layout};
  FileReader reader(file, shipped_layout("bank"), {"reference", "amount"});
  if (reader.read())
    for (const auto& row : reader.rows()) (void)reader.amount(row, "amount");
  return reader.error();
}

}  // namespace

TEST_CASE("a file is read whatever its quotes, line ends, mark and order of columns") {
  const ReportFile file{"bank.csv", "\xEF\xBB\xBF" "x,amount,reference\r\n1,\"12.50\",\"a \"\"b\"\", c\"\r\n\r\n2,-3,\"two\nlines\"\r\n3,7,last", {}};
  FileReader reader(file, shipped_layout("bank"), {"reference", "amount"});
  REQUIRE(reader.read());
  REQUIRE(reader.rows().size() == 3);
  CHECK(reader.rows()[0].cells.at("reference") == "a \"b\", c");
  CHECK(reader.amount(reader.rows()[0], "amount") == money::Amount::parse("12.5"));
  CHECK(reader.rows()[1].line == 4);
  CHECK(reader.rows()[1].cells.at("reference") == "two\nlines");
  CHECK(reader.rows()[2].line == 6);
  CHECK(reader.error().empty());
}

TEST_CASE("a wrong line is named with its column") {
  CHECK(error_of("") == "bank.csv:1:1: an empty file; its first line names the columns");
  CHECK(error_of("a,b\n") == "bank.csv:1:1: no column `reference`; name the file's columns in a layout");
  CHECK(error_of("reference,amount\n17,12.50\n18\n") == "bank.csv:3:1: 1 cells, not 2 as in the first line");
  CHECK(error_of("reference,amount\n17,1 000\n") == "bank.csv:2:4: `1 000` is not an amount such as 1234.50");
  CHECK(error_of("reference,amount\n\"17\"x,1\n") == "bank.csv:2:5: text after a quote");
  CHECK(error_of("reference,amount\n17,\"1\n") == "bank.csv:2:4: a quote that does not end");
  CHECK(error_of("reference,amount\n1\"7,1\n") == "bank.csv:2:2: a quote inside a cell that does not begin with one");
  CHECK(error_of("reference,amount\n\xFF,1\n") == "bank.csv:1:1: not UTF-8; save the file in that encoding");
  CHECK(error_of("r,amount\n17,1\n", R"({"columns": {"reference": "r"}})") == "the layout names no column for `amount`");
  CHECK(error_of("r;a\n17;1\n", R"({"separator": ";", "columns": {"reference": "r", "amount": "a"}})").empty());
  CHECK(error_of("reference,amount\n", "[]").rfind("the layout is not", 0) == 0);
}

TEST_CASE("the layouts in configs/reports are those that the program has") {
  for (const std::string name : {"bank", "upstream", "partner"}) {
    std::string text;
    REQUIRE_FALSE(read_file(system_disk(), "configs/reports/" + name + ".json", text));
    CHECK(text == std::string(shipped_layout(name)) + "\n");
  }
}
