// Configuration: YAML -> typed sections -> one immutable ConfigSnapshot, swapped whole on reload.
// Reading throws ConfigError, whose text is one line: FILE:LINE:COLUMN: PATH: why and the mend.
// Amounts and prices are exact; durations are milliseconds, sizes are bytes. The table of every key
// with default, unit and bounds is docs/configuration.md; a test holds the two together.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "gateway/base/base.h"
#include "gateway/money/money.h"

namespace trib::config {

class ConfigError : public std::runtime_error {
 public:
  ConfigError(std::string file, int line, int column, std::string path, const std::string& why);
  std::string file;
  int line;    // 1-based; 0: the whole file
  int column;  // 1-based
  std::string path;  // "gateway.deadlines.gap"
};

struct Address {
  std::string host;  // a name, an IPv4 or an IPv6 address without brackets
  std::uint16_t port = 0;
  std::string text() const;  // "127.0.0.1:8080", "[::1]:8080"
  bool loopback() const;
};

struct Deadlines {  // all in milliseconds
  std::int64_t head_ms = 10'000;
  std::int64_t body_ms = 30'000;
  std::int64_t connect_ms = 2'000;
  std::int64_t first_token_ms = 30'000;
  std::int64_t unary_token_ms = 100;
  std::int64_t gap_ms = 15'000;
  std::int64_t stall_ms = 30'000;
  std::int64_t keepalive_ms = 5'000;
  std::int64_t idle_ms = 60'000;
  std::int64_t total_ms = 600'000;
  std::int64_t drain_ms = 30'000;
};

struct Limits {
  std::uint64_t head_bytes = 16u << 10;
  std::uint32_t headers = 100;
  std::uint64_t body_bytes = 16u << 20;
  std::uint64_t event_bytes = 1u << 20;
  std::uint64_t unary_hold_bytes = 1u << 20;
  std::uint64_t buffers_bytes = 1u << 30;
  std::uint32_t connections = 20'000;
  std::uint64_t idempotent_answer_bytes = 1u << 20;
  std::uint64_t idempotent_total_bytes = 256u << 20;
};

struct Tls {
  std::string certificate;  // PEM paths, relative to the file
  std::string key;
};

struct SitesDoor {
  Address listen{"127.0.0.1", 8443};
  std::vector<Address> reached_at;  // key `public`; default: listen
};

struct JournalConfig {
  bool sync_always = true;
  std::int64_t sync_window_ms = 0;  // when not sync_always
  std::int64_t keep_ms = 24 * 3'600'000;
  std::uint64_t segment_bytes = 64u << 20;
};

struct GatewayConfig {
  Address listen{"127.0.0.1", 8080};
  std::optional<Tls> tls;
  bool insecure = false;
  SitesDoor sites;
  std::string data = "var";
  JournalConfig journal;
  unsigned workers = 0;  // 0: auto, one a core
  Deadlines deadlines;
  Limits limits;
  unsigned continuations = 3;
  std::int64_t probe_generation_ms = 10'000;  // 0: none is made
  std::string admin_token_env = "TRIBUTARY_ADMIN_TOKEN";
  std::string admin_token;  // the variable's value; empty: the admin doors answer 401
};

struct PriceTax {
  std::uint32_t percent = 0;
  bool inclusive = true;  // inside the price; else it comes on top, with the invoice
  friend bool operator==(const PriceTax&, const PriceTax&) = default;
};

struct PriceConfig {
  std::optional<std::int64_t> from_ms;  // none: the first start of this gateway
  money::Price input, cached_input, output, reasoning, cache_write;
  std::optional<PriceTax> tax;
};

enum class RoutingPolicy : std::uint8_t { balanced, cheapest, fastest };

struct ModelRouting {  // how a model's offers are chosen
  RoutingPolicy policy = RoutingPolicy::balanced;
  std::vector<std::string> regions, vendors;     // empty: any
  std::uint32_t supplier_ppm_max = 1'000'000;    // of the price: what the supply side may take
};

struct LineConfig {  // of each model
  std::uint32_t length_max = 256;
  std::int64_t wait_ms_max = 10'000;
};

struct RoutingConfig {
  RoutingPolicy policy = RoutingPolicy::balanced;
  LineConfig line;
};

struct ModelConfig {
  std::string id;
  std::uint32_t context = 0;  // tokens
  ModelRouting routing;
  std::vector<PriceConfig> prices;  // by from; the YAML's `price` is one or a list
};

struct Shares {  // ppm; sum 1,000,000
  std::uint32_t platform = 0, site = 0, vendor = 0, referrer = 0;
  friend bool operator==(const Shares&, const Shares&) = default;
};

// What the shares are of. Refunds and fees are not known when a request is split: they post deltas.
enum class ShareBase : std::uint8_t { gross, net_of_refunds, net_of_vat, net_of_fees };

struct Tiers {  // other shares above a turnover of the period; none: no steps
  enum class Mode : std::uint8_t { graduated, whole } mode = Mode::graduated;
  struct Step {
    money::Amount over;  // of the period's cumulative share base
    Shares shares;
    friend bool operator==(const Step&, const Step&) = default;
  };
  std::vector<Step> steps;  // by `over`, rising
  friend bool operator==(const Tiers&, const Tiers&) = default;
};

struct Holdback {  // of each period's pay, released after so many days
  std::uint32_t ppm = 100'000;
  std::uint32_t days = 30;
  friend bool operator==(const Holdback&, const Holdback&) = default;
};

enum class Chargeback : std::uint8_t { by_split, platform, site };      // who gives back what was charged back
enum class ChargebackCost : std::uint8_t { platform, site, by_split };  // who bears the provider's fee for it

struct Penalty {
  std::string cause;            // "availability"
  std::uint32_t below_ppm = 0;  // of the measure that the cause names
  money::Amount amount, cap;    // each time, and of a period
  friend bool operator==(const Penalty&, const Penalty&) = default;
};

struct EarlyExit {
  enum class By : std::uint8_t { either, platform, site } by = By::either;
  std::uint32_t ppm = 0;  // of the remaining guarantee
  friend bool operator==(const EarlyExit&, const EarlyExit&) = default;
};

struct MarketIndex {
  std::string name;
  money::Amount reference;  // CNY, > 0
  std::uint32_t alarm_ppm = 200'000;
  friend bool operator==(const MarketIndex&, const MarketIndex&) = default;
};

enum class OnCancel : std::uint8_t { received, delivered, acknowledged };
enum class OnBreak : std::uint8_t { output_only, all, nothing };
enum class ZeroOutput : std::uint8_t { nothing, input };
enum class Meters : std::uint8_t { lower, gateway };  // which count holds while meters disagree

struct Policies {
  OnCancel on_cancel = OnCancel::received;
  OnBreak on_break = OnBreak::output_only;
  ZeroOutput zero_output = ZeroOutput::nothing;
  bool pay_loser = false;
  Meters meters = Meters::lower;
  bool show_gross = false;
  friend bool operator==(const Policies&, const Policies&) = default;
};

struct ContractTerms {
  ShareBase base = ShareBase::gross;
  Shares shares;
  std::string referrer_party;  // empty: none
  std::optional<std::int64_t> referrer_until_ms;  // the last day that pays begins here or later
  Tiers tiers;
  money::Amount guarantee;  // to the site, a period; zero: none
  Holdback holdback;
  money::Amount min_payout;  // whole fen
  Chargeback chargeback = Chargeback::by_split;
  ChargebackCost chargeback_cost = ChargebackCost::platform;
  std::vector<Penalty> penalties;
  std::optional<EarlyExit> early_exit;
  std::optional<MarketIndex> index;
  Policies policies;
  friend bool operator==(const ContractTerms&, const ContractTerms&) = default;
};

struct ContractConfig : ContractTerms {
  std::string id;
  std::int64_t from_ms = 0;
  std::optional<std::int64_t> to_ms;  // its end, not included; none: open
};

struct EngineConfig {
  Endpoint endpoint;
  std::string base_path;  // "" or "/prefix"
  std::vector<std::pair<std::string, std::string>> models;  // public name, engine's own name
  std::uint32_t capacity = 32;  // requests in flight
};

enum class SiteKind { hosted, datacenter, lab, edge, cafe };

struct SiteConfig {
  std::string id;
  SiteKind kind = SiteKind::datacenter;
  std::string vendor;  // empty: from its devices, else suspense
  std::string region;  // empty: not said
  std::string contract;
  std::vector<EngineConfig> engines;  // empty: the site's agent dials in
};

enum class Privacy { any, dc, tee };

struct TenantLimits {  // 0: no limit
  std::uint32_t requests_per_minute = 600;
  std::uint64_t tokens_per_minute = 200'000;
  std::uint32_t in_flight = 64;
};

struct Budgets {  // what requests may cost, by the day and month in Asia/Shanghai in which they end; zero: no budget
  money::Amount day, month;
  friend bool operator==(const Budgets&, const Budgets&) = default;
};

struct TenantKey {
  TenantKey(const Sha256& digest, const Budgets& limits = {}) : sha256(digest), budgets(limits) {}
  Sha256 sha256;
  Budgets budgets;
};

// What a request holds until it ends: the most it can cost, or what it will probably cost.
enum class HoldRule : std::uint8_t { worst_case, estimate };

enum class Priority : std::uint8_t { low, normal, high };  // in the waiting line

struct TenantConfig {
  std::string id;
  std::vector<TenantKey> keys;
  money::Amount balance;  // posted once as top-up "opening:ID"
  money::Amount credit;   // how far below zero it may go; above zero: postpaid
  HoldRule holds = HoldRule::worst_case;
  Budgets budgets;
  Privacy privacy = Privacy::dc;
  std::int64_t hedge_after_ms = 0;  // 0: never
  Priority priority = Priority::normal;
  TenantLimits limits;
};

struct AuditConfig {
  std::int64_t checkpoint_ms = 3'600'000;  // between two signed checkpoints, when there is something new
};

// Who a party or a customer is before the law, for exports and documents.
struct LegalParty {
  std::string party;  // "platform", "site:dc-one", "vendor:x", "referrer:x", "customer:acme"
  std::string legal_name, tax_no, address, phone, bank, bank_account, email;  // empty: not said
};

struct LayoutColumn {
  std::string header, field, value;  // field empty: always `value`
};
struct AccountCode {
  std::string code, name;
};
struct InvoiceItem {
  std::string model, name, code, specification, unit;  // model "*": all others
};
// The layouts' file: your chart of accounts, the columns of vouchers and e-invoices.
struct ExportLayouts {
  std::map<std::string, AccountCode, std::less<>> accounts;
  std::string word, preparer, summary;
  std::vector<LayoutColumn> voucher;  // empty: none
  std::string kind, basic_sheet, details_sheet;
  std::vector<LayoutColumn> basic, details;
  std::vector<InvoiceItem> items;
  const AccountCode* code_of(std::string_view account) const;  // "L210/dc-one", else "L210"; null: none
  const InvoiceItem* item_of(std::string_view model) const;
};

struct ExportsConfig {
  std::shared_ptr<const ExportLayouts> layouts;  // null: none
  std::map<std::string, LegalParty, std::less<>> parties;  // by party
  const LegalParty* legal(std::string_view party) const;  // null: nothing is said
};

struct ConfigSnapshot {
  std::string file;
  GatewayConfig gateway;
  unsigned grace_days = 3;  // after a month's end, before it can be reconciled
  ExportsConfig exports;
  AuditConfig audit;
  std::string store_path;  // of "sqlite:PATH", relative to the working directory; or a postgresql:// URL as it is
  std::uint64_t store_backlog = 1'000'000;  // records not posted beyond which no request is admitted
  RoutingConfig routing;
  std::vector<ModelConfig> models;
  std::vector<ContractConfig> contracts;
  std::vector<SiteConfig> sites;
  std::vector<TenantConfig> tenants;
};

// Why a postgresql:// URL is not one to keep in a file or on a command line; empty: it is. Never repeats it.
std::string store_url_problem(std::string_view url);

struct AgentEngineConfig {
  std::string url;               // already running
  Endpoint endpoint;
  std::string base_path;
  std::vector<std::string> run;  // or: started by the agent; "{port}" is replaced
  std::vector<std::pair<std::string, std::string>> models;  // empty: all that the engine lists, same names
  std::uint32_t capacity = 0;    // 0: the engine's own slots, else 8
};

struct ManualDevice {
  std::string vendor, name;
  std::uint64_t memory_bytes = 0;
  std::uint32_t count = 1;
};

struct AgentConfig {
  std::string file;
  std::string gateway_host;
  std::uint16_t gateway_port = 443;
  std::string state = "var/agent";
  std::optional<Address> proxy;  // HTTP CONNECT
  std::int64_t probe_generation_ms = 10'000;  // 0: none is made
  std::vector<AgentEngineConfig> engines;
  enum class When { idle, always } lend = When::always;
  std::optional<int> lend_until_min;  // minutes after midnight here at which it usually ends
  std::vector<std::string> device_plugins;  // absolute folders
  std::vector<ManualDevice> manual_devices;
};

// Reads and checks a whole file. `env` answers ${NAME}. Throws ConfigError.
using Environment = const char* (*)(const char* name);
// Of the layouts' file (docs/exports.md).
std::shared_ptr<const ExportLayouts> parse_layouts(const std::string& file, const std::string& yaml, Environment env);
std::shared_ptr<const ConfigSnapshot> load_gateway(const std::string& file, Environment env);
std::shared_ptr<const ConfigSnapshot> parse_gateway(const std::string& file, const std::string& yaml, Environment env);
std::shared_ptr<const AgentConfig> load_agent(const std::string& file, Environment env);
std::shared_ptr<const AgentConfig> parse_agent(const std::string& file, const std::string& yaml, Environment env);

// One price or one contract from outside the file, as a map of the file's own keys (`price` gets the key
// `model` beside them): JSON, or YAML. `name` stands for the file in messages; ${NAME} is refused.
struct ModelPrice {
  std::string model;
  PriceConfig price;  // always with its `from`
};
ModelPrice parse_price(const std::string& name, const std::string& text);
ContractConfig parse_contract(const std::string& name, const std::string& text);

// "2026-01-01" or RFC 3339 -> Unix ms; a bare date is 00:00 in Asia/Shanghai.
std::optional<std::int64_t> parse_date(std::string_view text);
std::string_view name(SiteKind kind);
std::string_view name(Privacy tier);

}  // namespace trib::config
