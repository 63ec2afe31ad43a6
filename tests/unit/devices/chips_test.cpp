// configs/chips.yaml keeps its promises: every row says unit, source and confidence; figures are plausible
// or absent.
#include <yaml-cpp/yaml.h>

#include <cmath>
#include <map>
#include <set>
#include <string>

#include "tests/catch.h"

namespace {

const std::set<std::string> known_keys = {"model",  "vendor", "unit", "fp16", "mem_gb",
                                          "bw_gbs", "source", "conf", "verify", "note"};

// Figures of one row in their plausible range, or absent.
void check_figures(const YAML::Node& chip) {
  const struct {
    const char* key;
    double low, high;
  } figures[] = {{"fp16", 5, 5000}, {"mem_gb", 4, 512}, {"bw_gbs", 50, 20000}};
  for (const auto& f : figures) {
    if (!chip[f.key]) continue;
    const double value = chip[f.key].as<double>();
    INFO(f.key << " " << value);
    CHECK(value >= f.low);
    CHECK(value <= f.high);
  }
}

}  // namespace

TEST_CASE("the chip table parses and every row is complete") {
  const YAML::Node table = YAML::LoadFile(TRIB_SOURCE_DIR "/configs/chips.yaml");
  REQUIRE(table["version"].as<int>() == 1);
  std::set<std::string> models;
  for (const YAML::Node& chip : table["chips"]) {
    const auto model = chip["model"].as<std::string>();
    INFO(model);
    CHECK(models.insert(model).second);
    for (const auto& member : chip) CHECK(known_keys.count(member.first.as<std::string>()) == 1);
    CHECK_FALSE(chip["vendor"].as<std::string>().empty());
    const auto unit = chip["unit"].as<std::string>();
    CHECK((unit == "card" || unit == "chip"));
    REQUIRE(chip["source"].IsSequence());
    const std::set<std::string> sources = {"D", "H", "P", "F", "A", "S", "X"};
    for (const YAML::Node& s : chip["source"]) CHECK(sources.count(s.as<std::string>()) == 1);
    const auto conf = chip["conf"].as<std::string>();
    CHECK((conf == "a" || conf == "b" || conf == "c" || conf == "none"));
    check_figures(chip);
    if (conf == "a") {
      CHECK(chip["source"].size() > 0);
      CHECK_FALSE(chip["verify"].IsDefined());
    }
    if (conf == "none") CHECK_FALSE((chip["fp16"] || chip["mem_gb"] || chip["bw_gbs"]));
    // A figure without any source is marked, so that nothing gates on it.
    if (chip["source"].size() == 0 && conf != "none") CHECK(chip["verify"].IsSequence());
    for (const YAML::Node& v : chip["verify"]) CHECK(chip[v.as<std::string>()].IsDefined());
  }
  CHECK(models.size() == 48);
}

TEST_CASE("the fingerprints that tell chips apart hold") {
  const YAML::Node table = YAML::LoadFile(TRIB_SOURCE_DIR "/configs/chips.yaml");
  std::map<std::string, double> flop_per_byte;
  for (const YAML::Node& chip : table["chips"])
    if (chip["fp16"] && chip["bw_gbs"])
      flop_per_byte[chip["model"].as<std::string>()] = 1000 * chip["fp16"].as<double>() / chip["bw_gbs"].as<double>();
  const auto near = [&](const char* model, double expected) {
    return std::abs(flop_per_byte.at(model) - expected) < 1;
  };
  CHECK(near("H20", 37));
  CHECK(near("H100 SXM", 295));
  CHECK(near("RTX 4090", 164));
  CHECK(near("Ascend 910B3", 196));
}
