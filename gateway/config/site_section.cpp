#include <algorithm>
#include <map>
#include <set>

#include "gateway/config/scalar.h"
#include "gateway/config/sections.h"

namespace trib::config {
namespace {

constexpr Key rows[] = {
    {"sites[].id", Type::id, "required", "", "", "The site's name."},
    {"sites[].kind", Type::choice, "required", "hosted|datacenter|lab|edge|cafe", "",
     "Decides which privacy tiers it may serve."},
    {"sites[].vendor", Type::id, "", "", "",
     "Whose chips it runs. Default: from its devices; unknown: the vendor's part waits in "
     "suspense."},
    {"sites[].region", Type::id, "", "", "", "Where it stands, for `models[].routing.regions`."},
    {"sites[].contract", Type::id, "required", "", "", "One of `contracts`."},
    {"sites[].engines", Type::list, "", "0", "1000",
     "Engines that the gateway dials; none: the site's agent dials in."},
    {"sites[].engines[].url", Type::url, "required", "", "",
     "`http://host:port`, perhaps with a path before `/v1`."},
    {"sites[].engines[].models", Type::models, "", "1", "1000",
     "Names, or a map of public name to the engine's own. Default: all that the engine lists."},
    {"sites[].engines[].capacity", Type::count, "32", "1", "65536", "Requests in flight."},
};

std::vector<EngineConfig> read_engines(const Section& site) {
  std::vector<EngineConfig> out;
  std::set<std::string> seen;
  for (const Section& in : site.sections("engines")) {
    EngineConfig engine;
    read_engine_url(in, engine.endpoint, engine.base_path);
    if (!seen.insert(engine.endpoint.key() + engine.base_path).second) {
      in.fail("url", "stands twice at this site; keep one of them");
    }
    engine.models = in.models("models");
    engine.capacity = in.count32("capacity");
    out.push_back(std::move(engine));
  }
  return out;
}

}  // namespace

std::span<const Key> site_keys() {
  return rows;
}

void read_engine_url(const Section& engine, Endpoint& endpoint, std::string& base_path) {
  const auto url = parse_url(engine.text("url"));
  if (!url)
    engine.fail("url",
                "is not an engine's URL; write http://host:port, perhaps with a plain path, "
                "nothing after it");
  endpoint.host = url->address.host;
  endpoint.port = url->address.port;
  endpoint.tls = url->tls;
  if (url->tls) endpoint.server_name = url->address.host;
  base_path = url->path;
}

std::vector<SiteConfig> read_sites(const Section& file,
                                   const std::vector<ContractConfig>& contracts) {
  std::vector<std::string> known;
  for (const ContractConfig& contract : contracts) known.push_back(contract.id);
  std::vector<SiteConfig> out;
  std::map<std::string, std::string> places;
  for (const Section& in : file.sections("sites")) {
    SiteConfig site;
    site.id = in.id("id");
    const auto [at, fresh] = places.emplace(site.id, in.place());
    if (!fresh)
      in.fail("id",
              "the site " + site.id + " stands at " + at->second + " already; keep one of them");
    site.kind = static_cast<SiteKind>(in.choice("kind"));
    site.vendor = in.id("vendor");
    site.region = in.id("region");
    site.contract = in.id("contract");
    if (std::find(known.begin(), known.end(), site.contract) == known.end()) {
      const std::string near = nearest(site.contract, known);
      in.fail("contract", shown(site.contract) + " is not in contracts; " +
                              (near.empty() ? "add it there" : "did you mean " + near + "?"));
    }
    for (const ContractConfig& contract : contracts) {
      if (contract.id == site.contract && contract.referrer_party == site.id)
        in.fail("contract", "its referrer is the site itself; nobody is paid for bringing himself: "
                            "name another referrer or another contract");
    }
    site.engines = read_engines(in);
    out.push_back(std::move(site));
  }
  return out;
}

}  // namespace trib::config
