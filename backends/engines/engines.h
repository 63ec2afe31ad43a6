// What inference engines say and how they want to be asked: OpenAI's request and answer shapes and
// the dialects' deviations. A dialect is chosen by probing engine and version, never by vendor. All
// functions are pure; every answer is untrusted.
#pragma once
#include "backends/engines/answer.h"
#include "backends/engines/continuation.h"
#include "backends/engines/errors.h"
#include "backends/engines/going_on.h"
#include "backends/engines/metrics.h"
#include "backends/engines/probe.h"
#include "backends/engines/request.h"
#include "backends/engines/trial.h"
