"""The quarter through the product, and through an oracle that shares nothing with it: they agree to the pico.

    quarter_test.py PROGRAM small|large      small: two seeds, a small world; large: 40 sites, 300 tenants
"""
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SIZES = {"small": [(seed, 500, 20, 30) for seed in (1, 2)], "large": [(11, 60_000, 40, 300)]}


def main():
    program, size = sys.argv[1:3]
    for seed, requests, sites, tenants in SIZES[size]:
        with tempfile.TemporaryDirectory(prefix="quarter-") as folder:
            print(f"seed {seed}: 3 months of {requests} requests, {sites} sites, {tenants} tenants", flush=True)
            subprocess.run([program, folder, str(seed), str(requests), str(sites), str(tenants)], check=True)
            subprocess.run([sys.executable, HERE / "oracle.py", folder + "/facts.jsonl", folder + "/result.jsonl"], check=True)


if __name__ == "__main__":
    main()
