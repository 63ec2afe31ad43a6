#include <algorithm>
#include <map>

#include "gateway/config/sections.h"

namespace trib::config {
namespace {

constexpr Key rows[] = {
    {"models[].id", Type::id, "required", "", "", "The name customers use."},
    {"models[].context", Type::count, "required", "1", "16777216",
     "Tokens of input and output together."},
    {"models[].routing", Type::section, "", "", "", "Who may serve it, and how one is chosen."},
    {"models[].routing.policy", Type::choice, "", "balanced|cheapest|fastest", "",
     "Default: as `routing.policy`."},
    {"models[].routing.regions", Type::texts, "", "1", "100",
     "Sites of these regions only. Default: any."},
    {"models[].routing.vendors", Type::texts, "", "1", "100",
     "Chips of these vendors only. Default: any."},
    {"models[].routing.supplier_max", Type::count, "1000000", "0", "1000000",
     "Offers whose contract gives the supply side more than this, in ppm of the price, are not chosen."},
    {"models[].price", Type::list, "", "0", "1000",
     "One price, or a list of dated ones. A model without a price answers 404."},
    {"models[].price[].from", Type::date, "", "", "",
     "From when on; a bare date is 00:00 in Asia/Shanghai. Default for a single price: the first "
     "start."},
    {"models[].price[].input", Type::price, "required", "", "", "Input tokens."},
    {"models[].price[].cached_input", Type::price, "", "", "",
     "Input tokens that a cache answered; default: as `input`."},
    {"models[].price[].cache_write", Type::price, "", "", "",
     "Input tokens written to a cache; default: as `input`."},
    {"models[].price[].output", Type::price, "required", "", "", "Output tokens."},
    {"models[].price[].reasoning", Type::price, "", "", "",
     "Reasoning tokens; default: as `output`."},
    {"models[].price[].tax", Type::section, "", "", "",
     "VAT. Default: none is said, charges carry none, and invoices are refused."},
    {"models[].price[].tax.percent", Type::count, "required", "0", "100", "Of the price without it."},
    {"models[].price[].tax.inclusive", Type::flag, "true", "", "",
     "Whether the price holds it already; false: it comes on top, with the invoice; no hold and no balance has it before."},
};

}  // namespace

PriceConfig read_price(const Section& in) {
  PriceConfig out;
  out.from_ms = in.date("from");
  out.input = in.price("input");
  out.output = in.price("output");
  out.cached_input = in.given("cached_input") ? in.price("cached_input") : out.input;
  out.cache_write = in.given("cache_write") ? in.price("cache_write") : out.input;
  out.reasoning = in.given("reasoning") ? in.price("reasoning") : out.output;
  if (in.given("tax")) {
    const Section tax = in.section("tax");
    out.tax = PriceTax{tax.count32("percent"), tax.flag("inclusive")};
  }
  return out;
}

namespace {

std::vector<PriceConfig> read_prices(const Section& model) {
  const std::vector<Section> given = model.one_or_more("price");
  std::vector<PriceConfig> out;
  std::map<std::int64_t, std::string> places;
  for (const Section& in : given) {
    PriceConfig price = read_price(in);
    if (!price.from_ms && given.size() > 1)
      in.fail("from", "is missing; in a list every price needs its date");
    if (price.from_ms) {
      const auto [at, fresh] = places.emplace(*price.from_ms, in.place());
      if (!fresh)
        in.fail("from", "overlaps the version at " + at->second +
                            ", which begins at the same time; give it a later date");
    }
    out.push_back(price);
  }
  std::sort(out.begin(), out.end(),
            [](const PriceConfig& a, const PriceConfig& b) { return a.from_ms < b.from_ms; });
  return out;
}

}  // namespace

std::span<const Key> model_keys() {
  return rows;
}

std::vector<ModelConfig> read_models(const Section& file, const RoutingConfig& routing) {
  std::vector<ModelConfig> out;
  std::map<std::string, std::string> places;
  for (const Section& in : file.sections("models")) {
    ModelConfig model;
    model.id = in.id("id");
    const auto [at, fresh] = places.emplace(model.id, in.place());
    if (!fresh)
      in.fail("id",
              "the model " + model.id + " stands at " + at->second + " already; keep one of them");
    model.context = in.count32("context");
    model.routing = read_model_routing(in.section("routing"), routing);
    model.prices = read_prices(in);
    out.push_back(std::move(model));
  }
  return out;
}

}  // namespace trib::config
