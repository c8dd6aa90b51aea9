# From configuration to report: `snakemake --cores N` makes everything, `--config profile=smoke` chooses how much.
#
#   fetch -> tune -> confirm -> judge, draw, analyse -> render
#                       '-> track (a mirror in MLflow, beside it)
import sys

from folklore import workflow as folklore_workflow

flow = folklore_workflow.Flow(config)
folklore_workflow.prepare_environment()
folklore_workflow.heal()
code = folklore_workflow.code
PYTHON = sys.executable

JUDGING = ("claims", "stats", "judging.py", "frames.py", "criteria.py", "/conf/criteria.jsonl", "/conf/families.yaml")
DRAWING = ("claims", "stats", "figures", "frames.py")
GRID = ("results/grid.json",) if flow.has_grid else ()


wildcard_constraints:
    job=r"\d+",
    chunk=r"\d+",


localrules:
    all,


rule all:
    input:
        "reports/folklore.pdf",
        "results/tracking/verdicts.done",


rule fetch:
    output:
        "results/data/{data}.npz",
        "results/data/{data}.json",
    params:
        code=lambda w: flow.dataset_code(w.data),
    message:
        "fetch {wildcards.data}"
    conda:
        "environment.yml"
    shell:
        "{PYTHON} -m folklore.stages.fetch {wildcards.data} --root results/data"


rule tune:
    input:
        lambda w: flow.data_of("tune", w.job),
    output:
        "results/tune/{job}.json",
    params:
        identity=lambda w: flow.job("tune", w.job).identity,
        overrides=flow.arguments,
    message:
        "tune {wildcards.job}"
    conda:
        "environment.yml"
    shell:
        "{PYTHON} -m folklore.stages.jobs tune {wildcards.job} --out results {params.overrides}"


rule confirm:
    input:
        lambda w: flow.data_of("confirm", w.job),
        lambda w: expand("results/tune/{job}.json", job=flow.job("confirm", w.job).needs),
    output:
        "results/confirm/{job}.json",
    params:
        identity=lambda w: flow.job("confirm", w.job).identity,
        overrides=flow.arguments,
    message:
        "confirm {wildcards.job}"
    conda:
        "environment.yml"
    shell:
        "{PYTHON} -m folklore.stages.jobs confirm {wildcards.job} --out results {params.overrides}"


rule calibrate:
    input:
        "results/data/mnist1d.npz",
    output:
        "results/calibration.json",
    params:
        code=code("calibration.py", "stages/calibrate.py", "stats", "core"),
        overrides=flow.arguments,
    message:
        "calibrate: placebo claims and planted effects"
    conda:
        "environment.yml"
    shell:
        "{PYTHON} -m folklore.stages.calibrate --out results {params.overrides}"


rule judge:
    input:
        flow.results(),
        "results/calibration.json",
    output:
        verdicts=report("results/verdicts.json", category="Verdicts"),
        table=report("results/tables/verdicts.csv", category="Verdicts"),
    params:
        code=code(*JUDGING),
        overrides=flow.arguments,
    message:
        "judge the claims"
    conda:
        "environment.yml"
    shell:
        "{PYTHON} -m folklore.stages.judge --out results {params.overrides}"


rule draw:
    input:
        flow.results(),
    output:
        report(
            expand("results/figures/{claim}.svg", claim=flow.claims),
            category="Claims",
        ),
    params:
        code=code(*DRAWING),
        overrides=flow.arguments,
    message:
        "draw the figures"
    conda:
        "environment.yml"
    shell:
        "{PYTHON} -m folklore.stages.draw --out results {params.overrides}"


rule analyse:
    input:
        flow.results(),
    output:
        report("results/grid.json", category="Six factors"),
    params:
        code=code(*DRAWING, "stages/analyse.py"),
        overrides=flow.arguments,
    message:
        "analyse the six factors"
    conda:
        "environment.yml"
    shell:
        "{PYTHON} -m folklore.stages.analyse --out results {params.overrides}"


rule render:
    input:
        rules.judge.output,
        rules.draw.output,
        GRID,
    output:
        report("reports/folklore.pdf", category="Report"),
    params:
        code=code("report", "figures", "stages/render.py", "/reports"),
    message:
        "render reports/folklore.pdf"
    conda:
        "environment.yml"
    shell:
        "{PYTHON} -m folklore.stages.render --out results --pdf {output}"


rule track:
    input:
        lambda w: flow.chunk_inputs(w.chunk),
    output:
        "results/tracking/runs-{chunk}.done",
    params:
        identity=lambda w: [job.identity for job in flow.plan.chunks()[int(w.chunk)]],
        overrides=flow.arguments,
    resources:
        tracker=1,
    message:
        "import into MLflow, part {wildcards.chunk}"
    conda:
        "environment.yml"
    shell:
        "{PYTHON} -m folklore.stages.track runs {wildcards.chunk} --out results --done {output} {params.overrides}"


rule attach:
    input:
        rules.render.output,
        expand("results/tracking/runs-{chunk}.done", chunk=flow.chunks()),
    output:
        "results/tracking/verdicts.done",
    params:
        overrides=flow.arguments,
    resources:
        tracker=1,
    message:
        "attach verdicts, figures and the report in MLflow"
    conda:
        "environment.yml"
    shell:
        "{PYTHON} -m folklore.stages.track verdicts --out results --pdf {input[0]} --done {output} {params.overrides}"
