<#
.SYNOPSIS
Installs Deep Image Blending for the present user of Windows: daemon, command line, weights, GIMP plug-in.
.DESCRIPTION
Not yet run on a Windows machine: written beside install.sh, which does the same elsewhere. Needs Python 3.11 or newer from python.org.
    powershell -ExecutionPolicy Bypass -File install.ps1               install or update
    powershell -ExecutionPolicy Bypass -File install.ps1 -Demo         the same, then blend the shipped example
    powershell -ExecutionPolicy Bypass -File install.ps1 -Uninstall    remove everything that it and the daemon have put here
#>
param([switch]$Demo, [switch]$Uninstall)
$ErrorActionPreference = "Stop"
$project = $PSScriptRoot
$data = Join-Path $env:LOCALAPPDATA "deep-image-blending"
$venv = Join-Path $data "venv"
$python = Join-Path $venv "Scripts\python.exe"
$command = Join-Path $venv "Scripts\blend-daemon.exe"
$plugin = "deep-image-blending"

# A program that fails does not stop PowerShell by itself.
function Invoke-Step([string]$program) {
    & $program @args
    if ($LASTEXITCODE -ne 0) { throw "$program ended with code $LASTEXITCODE." }
}

# GIMP's profile folders, for each GIMP 3 that has been started once or is installed.
function Get-Profiles {
    if ($env:GIMP3_DIRECTORY) { return @($env:GIMP3_DIRECTORY) }
    $base = Join-Path $env:APPDATA "GIMP"
    $found = @(Get-ChildItem $base -Directory -Filter "3.*" -ErrorAction SilentlyContinue | ForEach-Object { $_.FullName })
    foreach ($programs in $env:ProgramFiles, (Join-Path $env:LOCALAPPDATA "Programs")) {
        Get-ChildItem (Join-Path $programs "GIMP 3\bin") -Filter "gimp-3.*.exe" -ErrorAction SilentlyContinue | ForEach-Object {
            if ($_.BaseName -match "^gimp-3\.(\d+)$") {
                $minor = [int]$Matches[1]
                $found += Join-Path $base "3.$($minor + $minor % 2)" # development versions keep theirs under the stable number that follows
            }
        }
    }
    $found | Sort-Object -Unique
}

if ($Uninstall) {
    if (Test-Path $command) { & $command stop }
    foreach ($folder in Get-Profiles) {
        Remove-Item -Recurse -Force (Join-Path $folder "plug-ins\$plugin") -ErrorAction SilentlyContinue
        Remove-Item -Recurse -Force (Join-Path $folder "plug-in-settings\*$plugin*") -ErrorAction SilentlyContinue
    }
    if (Test-Path $data) { Remove-Item -Recurse -Force $data }
    Write-Output "Deep Image Blending is removed."
    exit 0
}

if (-not (Get-Command py -ErrorAction SilentlyContinue)) { throw "Python 3.11 or newer is needed: install it from python.org." }
Invoke-Step py -3 -c "import sys; sys.exit('Python 3.11 or newer is needed.' if sys.version_info < (3, 11) else 0)"

New-Item -ItemType Directory -Force $data | Out-Null
Invoke-Step py -3 (Join-Path $project "tools\make_venv.py") $venv --weights
Write-Output "Command: $command"

$profiles = @(Get-Profiles)
if ($profiles.Count -eq 0) { Write-Output "No GIMP 3 was found, so the plug-in is not installed. Start GIMP once, and run this again." }
foreach ($folder in $profiles) {
    # GIMP's own Python takes no pyzmq: the plug-in goes through `blend-daemon bridge`.
    Invoke-Step $python (Join-Path $project "tools\assemble_plugin.py") (Join-Path $folder "plug-ins") --no-pyzmq --daemon-command $command
}
if ($Demo) {
    $example = Join-Path $project "examples\cat-on-canvas"
    $out = Join-Path ([Environment]::GetFolderPath("MyPictures")) "deep-image-blending-demo.png"
    $offset = (Get-Content (Join-Path $example "offset")).Trim()
    Invoke-Step $command blend --source "$example\source.png" --mask "$example\mask.png" --target "$example\target.png" --offset $offset --output $out
    Write-Output "The blended picture is $out"
}
