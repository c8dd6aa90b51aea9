# From configuration to report: `snakemake --cores N` makes everything, `--config profile=smoke` chooses how much.
#
#   fetch -> tune -> confirm -> extend -> judge -> draw, analyse -> render
#                       '----------'-> track (a mirror in MLflow, beside it)
from folklore import workflow as folklore_workflow

flow = folklore_workflow.planned(config)
# before this process is named as the parent of its jobs
folklore_workflow.mend(workflow.output_settings.dryrun)
folklore_workflow.prepare_environment()
code = folklore_workflow.code

GRID = ("results/grid.json",) if flow.has_grid else ()
FIGURES = expand("results/figures/{claim}.svg", claim=flow.claims)


# By its limit on starts, 100 a second, Snakemake looks for work a second after each look, and every job that ends adds another such chain: 22
# looks a second, and 4 % of a core, after an hour of two cores.
onstart:
    workflow.scheduler.job_rate_limiter = None


wildcard_constraints:
    job=r"\d+",
    family="[a-z-]+",
    chunk=r"\d+",


# on a cluster: nodes may have no network, and SQLite wants one machine
localrules:
    all,
    calibrate_families,
    fetch,
    track,
    attach,


# All of it: Snakemake does not make again what is missing half-way while all that was made from it is there.
rule all:
    input:
        flow.results(),
        GRID,
        FIGURES,
        "results/calibration.json",
        "results/findings.json",
        "results/verdicts.json",
        "results/tables/verdicts.csv",
        "reports/folklore.pdf",
        "reports/index.html",
        "reports/cheatsheet.pdf",
        "reports/provenance.json",
        "results/tracking/verdicts.done",


rule fetch:
    output:
        "results/data/{data}.npz",
        "results/data/{data}.json",
    log:
        "results/logs/fetch-{data}.log",
    priority: lambda w: flow.dataset_priority(w.data)
    conda:
        "environment.yml"
    params:
        code=lambda w: flow.dataset_code(w.data),
    message:
        "fetch {wildcards.data}"
    shell:
        "python -m folklore.stages.fetch {wildcards.data} --root results/data 2>&1 | tee {log}"


rule tune:
    input:
        lambda w: flow.data_of("tune", w.job),
    output:
        "results/tune/{job}.json",
    log:
        "results/logs/tune-{job}.log",
    priority: lambda w: flow.turn("tune", w.job)
    conda:
        "environment.yml"
    resources:
        gpu_slots=flow.gpu_slots,
    params:
        identity=lambda w: flow.job("tune", w.job).identity,
        overrides=flow.arguments,
    message:
        "tune {wildcards.job}"
    shell:
        "python -m folklore.stages.jobs tune {wildcards.job} --out results"
        " --identity {params.identity} {params.overrides} 2>&1 | tee {log}"


rule confirm:
    input:
        lambda w: flow.data_of("confirm", w.job),
        lambda w: expand("results/tune/{job}.json", job=flow.job("confirm", w.job).needs),
    output:
        "results/confirm/{job}.json",
    log:
        "results/logs/confirm-{job}.log",
    priority: lambda w: flow.turn("confirm", w.job)
    conda:
        "environment.yml"
    resources:
        gpu_slots=flow.gpu_slots,
    params:
        identity=lambda w: flow.job("confirm", w.job).identity,
        overrides=flow.arguments,
    message:
        "confirm {wildcards.job}"
    shell:
        "python -m folklore.stages.jobs confirm {wildcards.job} --out results"
        " --identity {params.identity} {params.overrides} 2>&1 | tee {log}"


rule extend:
    input:
        lambda w: flow.data_of("extend", w.job),
        lambda w: flow.extend_inputs(w.job),
    output:
        "results/extend/{job}.json",
    log:
        "results/logs/extend-{job}.log",
    priority: lambda w: flow.turn("extend", w.job)
    conda:
        "environment.yml"
    resources:
        gpu_slots=flow.gpu_slots,
    params:
        identity=lambda w: flow.job("extend", w.job).identity,
        overrides=flow.arguments,
    message:
        "look, extend {wildcards.job}"
    shell:
        "python -m folklore.stages.jobs extend {wildcards.job} --out results"
        " --identity {params.identity} {params.overrides} 2>&1 | tee {log}"


rule calibrate:
    input:
        flow.placebo_data(),
    output:
        "results/calibration.json",
    log:
        "results/logs/calibrate.log",
    priority: flow.priorities["report"]  # judging waits for it, and it waits for nothing
    conda:
        "environment.yml"
    resources:
        gpu_slots=flow.gpu_slots,
    params:
        code=code("calibrate"),
        identity=flow.placebo_identity(),
        overrides=flow.arguments,
    message:
        "calibrate: placebo claims and planted effects"
    shell:
        "python -m folklore.stages.calibrate --out results {params.overrides} 2>&1 | tee {log}"


rule calibrate_family:
    input:
        flow.placebo_data(),
    output:
        "results/calibration/{family}.json",
    log:
        "results/logs/calibrate-{family}.log",
    conda:
        "environment.yml"
    resources:
        gpu_slots=flow.gpu_slots,
    params:
        code=code("calibrate"),
        identity=lambda wildcards: flow.placebo_identity(wildcards.family),
        overrides=flow.arguments,
    message:
        "calibrate: placebo claims of {wildcards.family}"
    shell:
        "python -m folklore.stages.calibrate --out results --family {wildcards.family} {params.overrides} 2>&1 | tee {log}"


rule calibrate_families:
    input:
        expand("results/calibration/{family}.json", family=flow.placebo_families),


rule judge:
    input:
        flow.results(),
        "results/calibration.json",
        # verdicts name their digests; data that were removed come back, and are no reason to judge again
        ancient(expand("results/data/{data}.json", data=flow.plan.data)),
    output:
        findings="results/findings.json",
        verdicts=report("results/verdicts.json", category="Verdicts"),
        table=report("results/tables/verdicts.csv", category="Verdicts"),
    log:
        "results/logs/judge.log",
    priority: flow.priorities["report"]  # which waits for nothing that the importer does
    conda:
        "environment.yml"
    params:
        code=code("judge"),
        calibrations=flow.family_calibrations(),
        overrides=flow.arguments,
    message:
        "judge the claims"
    shell:
        "python -m folklore.stages.judge --out results {params.overrides} 2>&1 | tee {log}"


for part, claims in enumerate(flow.drawn):

    rule:
        name:
            f"draw_{part}"
        input:
            flow.results(),
            # what changes the findings is behind `code`, too; a new criterion alone is no reason to draw again
            ancient("results/findings.json"),
        output:
            report(
                expand("results/figures/{claim}.svg", claim=claims),
                category="Claims",
            ),
        log:
            f"results/logs/draw-{part}.log",
        priority: flow.priorities["report"]
        conda:
            "environment.yml"
        params:
            code=code("draw"),
            claims=",".join(claims),
            overrides=flow.arguments,
        message:
            f"draw figures, {claims[0]} to {claims[-1]}"
        shell:
            "python -m folklore.stages.draw --out results --claims {params.claims} {params.overrides} 2>&1 | tee {log}"


rule analyse:
    input:
        flow.results(),
    output:
        report("results/grid.json", category="Six factors"),
    log:
        "results/logs/analyse.log",
    priority: flow.priorities["report"]
    conda:
        "environment.yml"
    params:
        code=code("analyse"),
        overrides=flow.arguments,
    message:
        "analyse the six factors"
    shell:
        "python -m folklore.stages.analyse --out results {params.overrides} 2>&1 | tee {log}"


rule render:
    input:
        rules.judge.output,
        FIGURES,
        GRID,
    output:
        pdf=report("reports/folklore.pdf", category="Report"),
        page="reports/index.html",
        sheet="reports/cheatsheet.pdf",
        traces="reports/provenance.json",
    log:
        "results/logs/render.log",
    priority: flow.priorities["report"]
    conda:
        "environment.yml"
    params:
        code=code("render"),
        growth=flow.growth(),
    message:
        "render reports/folklore.pdf, index.html, cheatsheet.pdf"
    shell:
        "python -m folklore.stages.render --out results --pdf {output.pdf} 2>&1 | tee {log}"


rule track:
    input:
        lambda w: flow.chunk_inputs(w.chunk),
    output:
        "results/tracking/runs-{chunk}.done",
    log:
        "results/logs/track-{chunk}.log",
    # beside the training, or minutes of it would be left when all else is done; the report goes first
    priority: flow.priorities["track"]
    conda:
        "environment.yml"
    resources:
        tracker=1,
    params:
        identity=lambda w: [job.identity for job in flow.plan.chunks()[int(w.chunk)]],
        claims=lambda w: flow.chunk_claims(w.chunk),
        tracker=flow.tracker,
        overrides=flow.arguments,
    message:
        "import into MLflow, part {wildcards.chunk}"
    shell:
        "python -m folklore.stages.track runs --chunk {wildcards.chunk} --out results --done {output} {params.overrides} 2>&1 | tee {log}"


rule slides:
    input:
        rules.render.output,
    output:
        directory("reports/slides"),
    log:
        "results/logs/slides.log",
    conda:
        "environment.yml"
    params:
        code=code("render"),
    message:
        "slides: every figure with its caption and source, every table as CSV"
    shell:
        "python -m folklore.stages.slides --out results --to {output} 2>&1 | tee {log}"


rule attach:
    input:
        pdf=rules.render.output.pdf,
        runs=expand("results/tracking/runs-{chunk}.done", chunk=flow.chunks()),
    output:
        "results/tracking/verdicts.done",
    log:
        "results/logs/attach.log",
    conda:
        "environment.yml"
    resources:
        tracker=1,
    params:
        tracker=flow.tracker,
        overrides=flow.arguments,
    message:
        "attach verdicts, figures and the report in MLflow"
    shell:
        "python -m folklore.stages.track verdicts --out results --pdf {input.pdf} --done {output} {params.overrides} 2>&1 | tee {log}"
