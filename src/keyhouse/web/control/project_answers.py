"""How a project is shown: by itself, and in the lists of the organization and of its team."""

from collections.abc import Sequence

from pydantic import BaseModel

from keyhouse.domain.paging import Paging
from keyhouse.domain.tenancy import Project
from keyhouse.web.control.answers import Pagination, iso, page_json


class ProjectShape(BaseModel):
    """A project."""

    id: str
    name: str
    slug: str
    language: str
    framework: str
    teamId: str
    createdAt: str
    updatedAt: str


class ProjectsAnswer(BaseModel):
    """A page of projects."""

    data: list[ProjectShape]
    pagination: Pagination


def project_json(project: Project) -> dict[str, object]:
    """A project, ready to be encoded."""
    return {
        "id": project.id,
        "name": project.name,
        "slug": project.slug,
        "language": project.language,
        "framework": project.framework,
        "teamId": project.team_id,
        "createdAt": iso(project.created_at),
        "updatedAt": iso(project.updated_at),
    }


def project_page(projects: Sequence[Project], paging: Paging, total: int) -> bytes:
    """A page of projects, encoded."""
    return page_json([project_json(project) for project in projects], paging, total)
